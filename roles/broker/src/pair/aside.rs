//! Data that stood on a lower claim: kept aside, in a folder below the data folder.
//!
//! The engine's files are moved one by one, and a note says so first: a start after a kill in between
//! finishes that before it opens anything.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use abide_config::{Access, replace_file};
use abide_raft::Claim;
use tracing::{info, warn};

use super::record::Record;
use crate::broker::Broker;
use crate::ha::{Code, Reply};

/// Where they are kept.
const ASIDE: &str = "aside";
/// Says that they are being moved, and to where.
const NOTE: &str = "setting-aside";
/// The engine's files.
const FILES: [&str; 3] = ["raft.db", "raft.db-wal", "snapshot"];

/// Moves the engine's files, which nobody has open, aside: they stand on `lower`.
///
/// # Errors
/// A file cannot be moved; the next start goes on with it.
pub(crate) fn set_aside(data_dir: &Path, lower: Claim) -> io::Result<()> {
    let name = free_name(data_dir, lower);
    warn!(folder = name, "Setting the data aside: the peer's claim is the higher one");
    replace_file(&data_dir.join(NOTE), name.as_bytes(), Access::Everybody)?;
    finish_setting_aside(data_dir)
}

/// Goes on with what an earlier process began, if it did.
///
/// # Errors
/// A file cannot be moved.
pub(crate) fn finish_setting_aside(data_dir: &Path) -> io::Result<()> {
    let note = data_dir.join(NOTE);
    let name = match fs::read_to_string(&note) {
        Ok(name) => name,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(cause),
    };
    let folder = data_dir.join(ASIDE).join(name.trim());
    fs::create_dir_all(&folder)?;
    for file in FILES {
        match fs::rename(data_dir.join(file), folder.join(file)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
    }
    let mut record = Record::open(data_dir)?;
    record.forget_data();
    record.save()?;
    for folder in [&folder, &data_dir.join(ASIDE), data_dir] {
        fs::File::open(folder)?.sync_all()?;
    }
    fs::remove_file(note)?;
    info!(folder = %folder.display(), "The data are kept aside");
    Ok(())
}

/// A name that is not taken: a generation may be lost more than once.
fn free_name(data_dir: &Path, lower: Claim) -> String {
    let base = format!("{}-{}", lower.generation, lower.claimant);
    let is_free = |name: &String| !data_dir.join(ASIDE).join(name).exists();
    let numbered = (2..).map(|n| format!("{base}-{n}"));
    std::iter::once(base.clone()).chain(numbered).find(is_free).unwrap_or(base)
}

/// The folders that are kept, oldest first.
fn kept(data_dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data_dir.join(ASIDE)).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).filter(|it| it.is_dir()).collect();
    folders.sort_by_key(|it| fs::metadata(it).and_then(|it| it.modified()).ok());
    folders
}

/// The answer to `abide ha aside`.
pub(super) async fn list(broker: &Broker) -> Reply {
    let folders = kept(&broker.settings.data_dir);
    let text = match folders.len() {
        0 => "nothing is kept aside".to_owned(),
        n => format!("{n} kept aside in {}", broker.settings.data_dir.join(ASIDE).display()),
    };
    Reply::new(Code::Serves, text)
}
