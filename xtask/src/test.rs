//! `cargo xtask test` and `cargo xtask bench`.

use std::process::Command;

use anyhow::ensure;

use crate::install::{Purpose, ensure as install};
use crate::{TestArgs, imports, shell};

/// The package of tests that need the machine to themselves.
const ALONE: &str = "abide-e2e";

pub fn run(args: &TestArgs) -> anyhow::Result<()> {
    install(Purpose::Test)?;
    shell::step("Checking the direction of imports", imports::check)?;
    pages()?;
    shell::run(shell::cargo().args(["build", "--workspace", "--bins"]))?;
    for round in 1..=args.rounds {
        if args.rounds > 1 {
            eprintln!("Round {round} of {}", args.rounds);
        }
        tests(args)?;
    }
    Ok(())
}

/// Builds for speed, and measures.
pub fn bench(arguments: &[String]) -> anyhow::Result<()> {
    install(Purpose::Bench)?;
    let bins = shell::build(&["abide", "abide-keeper", "abide-bench"], true)?;
    shell::run(Command::new(bins.join("abide-bench")).current_dir(shell::root()).args(arguments))
}

/// The checked-in pages are those that their sources give.
fn pages() -> anyhow::Result<()> {
    npm("Installing the pages' tools", "web", &["ci"])?;
    npm("Checking the pages' types", "web", &["run", "check"])?;
    npm("Testing the pages", "web", &["test"])?;
    npm("Testing the pages in a browser", "web", &["run", "test:pages"])?;
    npm("Building the pages", "web", &["run", "build"])?;
    let mut status = Command::new("git");
    status.current_dir(shell::root()).args(["status", "--porcelain", "--", "web/dist"]);
    let changed = shell::run_quietly(&mut status)?;
    ensure!(
        changed.is_empty(),
        "the pages in web/dist are not what their sources give; commit the new ones:\n{changed}"
    );
    Ok(())
}

fn npm(what: &str, folder: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let folder = shell::root().join(folder);
    shell::step(what, || {
        shell::run_quietly(Command::new("npm").current_dir(&folder).args(arguments))
    })?;
    Ok(())
}

/// cargo-nextest runs each test in a process of its own, which ends those that hang; what needs the
/// machine to itself it knows from `.config/nextest.toml`.
fn tests(args: &TestArgs) -> anyhow::Result<()> {
    let run = |arguments: &[&str], threads: &[&str]| {
        let mut command = shell::cargo();
        command.args(arguments).args(&args.filter).args(threads);
        if let Some(seeds) = args.seeds {
            command.env("ABIDE_SEEDS", seeds.to_string());
        }
        shell::run(&mut command)
    };
    if shell::run_quietly(shell::cargo().args(["nextest", "--version"])).is_ok() {
        return run(&["nextest", "run", "--workspace", "--no-tests=warn"], &[]);
    }
    run(&["test", "--workspace", "--exclude", ALONE, "--no-fail-fast"], &[])?;
    run(&["test", "--package", ALONE, "--no-fail-fast"], &["--", "--test-threads=1"])
}
