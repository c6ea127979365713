//! A test on whole hosts: where it can run, and what is told when it fails.

use std::path::{Path, PathBuf};

use abide_lab::world;
use anyhow::Context;

use crate::base::Base;
use crate::host::Host;

/// Names the package under test. `cargo xtask lab` sets it; then nothing is left out.
const PACKAGE: &str = "ABIDE_PACKAGE";
/// Names a newer one, to upgrade to.
const NEWER: &str = "ABIDE_PACKAGE_NEWER";
const TOOLS: [&str; 4] = ["systemd-nspawn", "nsenter", "mkfs.ext4", "mount"];

/// The package under test.
///
/// # Errors
/// When nobody named one.
pub fn package() -> anyhow::Result<PathBuf> {
    named(PACKAGE)
}

/// A newer package than that under test.
///
/// # Errors
/// When nobody named one.
pub fn newer_package() -> anyhow::Result<PathBuf> {
    named(NEWER)
}

fn named(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os(name).map(PathBuf::from);
    let path = path.context("no package; run: cargo xtask lab hosts")?;
    if world::is_inside() { world::inside(&path) } else { Ok(path) }
}

/// Tells the story `body` of the test function `test` in a world of its own. Without a package to
/// test it says so and does nothing.
///
/// # Panics
/// When the story fails, or cannot be told though there is a package.
pub fn tell<T: Copy, F: Future<Output = anyhow::Result<()>>>(test: T, body: F) {
    if !world::is_inside() {
        if let Err(why) = package() {
            eprintln!("SKIPPED: nothing was tested: {why}");
            return;
        }
        let obstacle = world::obstacle().map(str::to_owned).or_else(obstacle);
        assert!(obstacle.is_none(), "there can be no hosts here: {}", obstacle.unwrap_or_default());
    }
    world::test(test, async {
        let mut witness = Witness { is_good: false };
        let outcome = body.await;
        witness.is_good = outcome.is_ok();
        outcome
    });
}

fn obstacle() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |tool: &&str| !std::env::split_paths(&path).any(|it| it.join(tool).is_file());
    let missing: Vec<&str> = TOOLS.into_iter().filter(there).collect();
    if !missing.is_empty() {
        return Some(format!("these programs are missing: {missing:?}"));
    }
    Base::find().is_none().then(|| "their base was not made".to_owned())
}

/// Tells what the hosts' consoles showed, when a story fails or panics.
struct Witness {
    is_good: bool,
}

impl Drop for Witness {
    fn drop(&mut self) {
        if self.is_good {
            return;
        }
        let folders = std::fs::read_dir(Path::new(world::ROOM).join("hosts"));
        let mut folders: Vec<PathBuf> =
            folders.into_iter().flatten().flatten().map(|it| it.path()).collect();
        folders.sort();
        for folder in folders.iter().filter(|it| it.join("console").exists()) {
            eprintln!("== console of {}\n{}", folder.display(), Host::console_of(folder));
        }
    }
}
