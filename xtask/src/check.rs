//! `cargo xtask check`: what needs no cluster.

use crate::{imports, links, monitoring, shell};

pub fn run() -> anyhow::Result<()> {
    shell::run(shell::cargo().args(["fmt", "--all", "--check"]))?;
    shell::step("Checking the direction of imports", imports::check)?;
    shell::step("Checking the links between pages", links::check)?;
    shell::step("Checking the alert rules", monitoring::check)?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    shell::run(shell::cargo().args(clippy))?;
    if shell::run_quietly(shell::cargo().args(["deny", "--version"])).is_ok() {
        shell::run(shell::cargo().args(["deny", "check"]))
    } else {
        eprintln!("cargo-deny is not installed: licences and sources are not checked.");
        Ok(())
    }
}
