//! Running other programs, and saying what goes on.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};

/// The repository.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// `cargo`, the one that runs this.
pub fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root());
    command
}

/// Builds these programs of the repository; gives the folder they are in.
///
/// No package is named, so that all builds choose the libraries' features alike, and share what is
/// built.
pub fn build(programs: &[&str], release: bool) -> anyhow::Result<PathBuf> {
    build_with(programs, release, None)
}

/// The same with a feature of one of our packages, `PACKAGE/FEATURE`. The next build without it puts the
/// program back as it is without.
pub fn build_with(
    programs: &[&str],
    release: bool,
    feature: Option<&str>,
) -> anyhow::Result<PathBuf> {
    let mut cargo = cargo();
    cargo.arg("build");
    if let Some(feature) = feature {
        cargo.args(["--features", feature]);
    }
    for program in programs {
        cargo.args(["--bin", program]);
    }
    if release {
        cargo.arg("--release");
    }
    run(&mut cargo)?;
    target_folder(release)
}

/// The folder that programs are built into.
pub fn target_folder(release: bool) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    // Cargo's target folder: this program lies in it, one folder deep.
    let target = own.ancestors().nth(2).context("this program has no folder")?;
    Ok(target.join(if release { "release" } else { "debug" }))
}

/// Whether this program is on the path.
pub fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Runs it to its end; what it says is seen.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = shown(command);
    let status = command.status().with_context(|| format!("cannot run {name}"))?;
    if !status.success() {
        bail!("{name}: {status}");
    }
    Ok(())
}

/// Runs it to its end; what it says is shown only if it fails.
pub fn run_quietly(command: &mut Command) -> anyhow::Result<String> {
    let name = shown(command);
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {name}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let more = String::from_utf8_lossy(&output.stderr);
        bail!("{name}: {}\n{said}{more}", output.status);
    }
    Ok(said)
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// A step that takes a while: says what it does, and how it went.
pub fn step<T>(what: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let bar = ProgressBar::new_spinner();
    if bar.is_hidden() {
        eprintln!("{what} …");
    }
    bar.set_style(ProgressStyle::with_template("{spinner} {msg} {elapsed}")?);
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(100));
    let outcome = work();
    bar.set_style(ProgressStyle::with_template("{msg} ({elapsed})")?);
    match &outcome {
        Ok(_) => bar.finish(),
        Err(_) => bar.abandon(),
    }
    outcome
}
