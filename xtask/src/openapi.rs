//! The checked-in description of the HTTP interface.

use std::process::Command;

use anyhow::Context;

use crate::shell;

pub fn write() -> anyhow::Result<()> {
    let bins = shell::build(&["abide"], false)?;
    let text = shell::run_quietly(Command::new(bins.join("abide")).args(["broker", "openapi"]))?;
    let path = shell::root().join("proto/api/openapi.json");
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
