//! `cargo xtask lab`: hosts, their faults, and what people notice.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::install::{Purpose, ensure as install};
use crate::{DistArgs, Profile, dist, shell};

/// Makes the newer package: it speaks a wire version of which the other knows nothing.
const NEXT_WIRE: &str = "abide/next-wire";
/// Means the stories on whole Debian hosts alone; a filter for their names may follow.
const HOSTS: &str = "hosts";

/// Before that filter: the package under test is built for speed, for figures.
const RELEASE: &str = "--release";

/// Without arguments all tests run; with others than [`HOSTS`], the lab's own program, built for speed.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    install(Purpose::Lab)?;
    match arguments {
        [] => {
            shell::build(&["abide", "abide-keeper", "abide-e2e-scene", "abide-lab"], false)?;
            tests(&mut shell::cargo(), "abide-lab", &[])?;
            stories(&[])
        }
        [first, filter @ ..] if first == HOSTS => stories(filter),
        _ => measure(arguments),
    }
}

fn measure(arguments: &[String]) -> anyhow::Result<()> {
    let bins = shell::build(&["abide", "abide-keeper", "abide-e2e-scene", "abide-lab"], true)?;
    let mut lab = Command::new(bins.join("abide-lab"));
    let head = ["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "HEAD"];
    let commit = shell::run_quietly(Command::new("git").args(head));
    lab.args(arguments).args(["--commit", commit.unwrap_or_default().trim()]);
    shell::run(&mut lab)
}

/// Stories on whole Debian hosts, with the package as it is now.
fn stories(arguments: &[String]) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("Whole hosts need root: their stories are left out.");
        return Ok(());
    }
    let (profile, filter) = match arguments {
        [first, filter @ ..] if first == RELEASE => (Profile::Release, filter),
        filter => (Profile::Dev, filter),
    };
    let package = |bins: &Path, profile: Profile, revision: Option<&str>| {
        let revision = revision.map(str::to_owned);
        beside(bins, &dist::package(&DistArgs { profile, revision, no_build: true })?)
    };
    shell::build(&["abide-keeper", "abide-hosts"], false)?;
    let newer = {
        let bins = shell::build_with(&["abide"], false, Some(NEXT_WIRE))?;
        package(&bins, Profile::Dev, Some("1"))?
    };
    let bins = shell::build(&["abide", "abide-keeper", "abide-hosts"], false)?;
    if matches!(profile, Profile::Release) {
        shell::build(&["abide", "abide-keeper"], true)?;
    }
    let package = package(&bins, profile, None)?;
    shell::step("Making the hosts' base, if it is not there", || {
        shell::run_quietly(&mut Command::new(bins.join("abide-hosts")))
    })?;
    let mut cargo = shell::cargo();
    cargo.env("ABIDE_PACKAGE", package).env("ABIDE_PACKAGE_NEWER", newer);
    tests(&mut cargo, "abide-hosts", filter)
}

fn tests(cargo: &mut Command, package: &str, filter: &[String]) -> anyhow::Result<()> {
    if shell::run_quietly(shell::cargo().args(["nextest", "--version"])).is_ok() {
        cargo.args(["nextest", "run"]);
    } else {
        cargo.arg("test");
    }
    shell::run(cargo.args(["--package", package]).args(filter))
}

/// Stories see what lies beside the programs.
fn beside(bins: &Path, package: &Path) -> anyhow::Result<PathBuf> {
    let name = package.file_name().context("the package has no name")?;
    let there = bins.join("packages").join(name);
    fs::create_dir_all(bins.join("packages"))?;
    fs::copy(package, &there).with_context(|| format!("cannot write {}", there.display()))?;
    Ok(there)
}
