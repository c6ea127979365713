//! The checked-in description of the HTTP interface.

use anyhow::Context;

pub fn write() -> anyhow::Result<()> {
    let path = crate::shell::root().join("proto/api/openapi.json");
    let text = abide_broker::openapi().to_pretty_json()? + "\n";
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
