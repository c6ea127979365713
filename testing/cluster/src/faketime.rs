//! Servers whose clock is wrong, by Debian's libfaketime.

use anyhow::Context;

/// The command under which a process sees the clock off by this: `+30h`, `-600`. It runs evenly.
///
/// # Errors
/// When libfaketime is not installed.
pub fn clock_off_by(offset: &str) -> anyhow::Result<Vec<String>> {
    let preload = format!("LD_PRELOAD={}", library()?);
    let words = ["env", &preload, &format!("FAKETIME={offset}"), "FAKETIME_DONT_FAKE_MONOTONIC=1"];
    Ok(words.map(str::to_owned).into())
}

/// Of whichever architecture.
fn library() -> anyhow::Result<String> {
    let folders = std::fs::read_dir("/usr/lib")?.flatten();
    let mut files = folders.map(|it| it.path().join("faketime/libfaketime.so.1"));
    let found = files.find(|it| it.is_file()).context("install the package libfaketime")?;
    Ok(found.to_str().context("a path that is not UTF-8")?.to_owned())
}
