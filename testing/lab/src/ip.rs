//! Running the system's own network tools.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// Runs `ip` with these words.
pub(crate) fn ip(words: &str) -> anyhow::Result<()> {
    run("ip", words, "").map(drop)
}

/// Feeds rules to `nft` in this network namespace.
pub(crate) fn nft(namespace: &str, rules: &str) -> anyhow::Result<()> {
    run("ip", &format!("netns exec {namespace} nft -f -"), rules).map(drop)
}

/// Runs a program to its end; the words are parted at blanks.
pub(crate) fn run(program: &str, words: &str, input: &str) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    command.args(words.split_whitespace());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let shown = || format!("{program} {words}");
    let mut child = command.spawn().with_context(shown)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that reads nothing may be gone before; its status tells.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().with_context(shown)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}\n{said}{input}", shown(), output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
