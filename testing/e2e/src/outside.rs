//! Other people's programs that the tests use, put in place once for all of them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use rustix::fs::{FlockOperation, flock};

/// This package's folder.
pub fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where cargo puts what it makes.
pub fn target() -> PathBuf {
    let default = || package().join("../../target");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(default, PathBuf::from)
}

/// The folder with `driver.mjs`, what it needs installed as its lock file says.
///
/// # Errors
/// When npm cannot.
pub fn browser_driver() -> anyhow::Result<PathBuf> {
    let folder = package().join("browser");
    once(&folder.join("package-lock.json"), &target().join("e2e-npm.done"), || {
        run(Command::new("npm").args(["ci", "--silent"]).current_dir(&folder))
    })?;
    Ok(folder)
}

/// A Python with the packages of `python/requirements.txt`.
///
/// # Errors
/// When there is no Python 3 with `venv`, or pip cannot.
pub fn python() -> anyhow::Result<PathBuf> {
    let wanted = package().join("python/requirements.txt");
    let folder = target().join("e2e-python");
    once(&wanted, &target().join("e2e-python.done"), || {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        let pip = ["-m", "pip", "install", "--quiet", "--require-hashes", "-r"];
        run(Command::new(folder.join("bin/python")).args(pip).arg(&wanted))
    })?;
    Ok(folder.join("bin/python"))
}

/// Does `work` unless it was done for `wanted` as it is now. Tests are processes that run side by
/// side: one does it, the others wait.
fn once(
    wanted: &Path,
    done: &Path,
    work: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    fs::create_dir_all(target())?;
    let lock = File::create(done.with_extension("lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let wanted = fs::read(wanted).with_context(|| format!("{}", wanted.display()))?;
    if fs::read(done).is_ok_and(|it| it == wanted) {
        return Ok(());
    }
    work()?;
    Ok(fs::write(done, wanted)?)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().with_context(|| shown.clone())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown}: {}\n{said}", output.status);
    Ok(())
}
