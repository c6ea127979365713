//! `cargo xtask test` and `cargo xtask bench`.

use std::process::Command;

use anyhow::ensure;

use crate::install::{Purpose, ensure as install};
use crate::{TestArgs, imports, shell};

/// Where the browser tests' driver lies.
const BROWSER: &str = "testing/e2e/browser";

pub fn run(args: &TestArgs) -> anyhow::Result<()> {
    install(Purpose::Test)?;
    shell::step("Checking the direction of imports", imports::check)?;
    pages()?;
    npm("Installing the browser tests' driver", BROWSER, &["ci"])?;
    shell::run(shell::cargo().args(["build", "--workspace", "--bins"]))?;
    for round in 1..=args.rounds {
        if args.rounds > 1 {
            eprintln!("Round {round} of {}", args.rounds);
        }
        shell::run(&mut tests(args))?;
    }
    Ok(())
}

/// Builds for speed, and measures.
pub fn bench(arguments: &[String]) -> anyhow::Result<()> {
    install(Purpose::Demo)?;
    let build = ["build", "--release", "--bin", "abide", "--bin", "abide-keeper"];
    shell::run(shell::cargo().args(build))?;
    let bench = ["run", "--release", "--package", "abide-bench", "--"];
    shell::run(shell::cargo().args(bench).args(arguments))
}

/// The checked-in pages are those that their sources give.
fn pages() -> anyhow::Result<()> {
    npm("Installing the pages' tools", "web", &["ci"])?;
    npm("Checking the pages' types", "web", &["run", "check"])?;
    npm("Testing the pages", "web", &["test"])?;
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

/// cargo-nextest runs each test in a process of its own, which ends those that hang.
fn tests(args: &TestArgs) -> Command {
    let mut command = shell::cargo();
    let nextest = shell::run_quietly(shell::cargo().args(["nextest", "--version"])).is_ok();
    match nextest {
        true => command.args(["nextest", "run", "--workspace"]),
        false => command.args(["test", "--workspace"]),
    };
    command.args(&args.filter);
    if let Some(seeds) = args.seeds {
        command.env("ABIDE_SEEDS", seeds.to_string());
    }
    command
}
