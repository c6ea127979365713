//! `cargo xtask lab`: whole hosts, their faults, and what people notice.

use std::process::Command;

use crate::install::{Purpose, ensure as install};
use crate::shell;

/// Without arguments the tests run; with some, the lab's own program, built for speed.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    install(Purpose::Lab)?;
    let programs = ["abide", "abide-keeper", "abide-e2e-scene", "abide-lab"];
    if arguments.is_empty() {
        shell::build(&programs, false)?;
        let (mut words, package) = (vec!["test"], ["--package", "abide-lab"]);
        if shell::run_quietly(shell::cargo().args(["nextest", "--version"])).is_ok() {
            words = vec!["nextest", "run"];
        }
        return shell::run(shell::cargo().args(words).args(package));
    }
    let bins = shell::build(&programs, true)?;
    let mut lab = Command::new(bins.join("abide-lab"));
    let head = ["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "HEAD"];
    let commit = shell::run_quietly(Command::new("git").args(head));
    lab.args(arguments).args(["--commit", commit.unwrap_or_default().trim()]);
    shell::run(&mut lab)
}
