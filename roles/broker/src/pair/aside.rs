//! Data that stood on a lower claim: kept aside, in a folder below the data folder.
//!
//! The engine's files are moved one by one, and a note says so first: a start after a kill in between
//! finishes that before it opens anything.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use abide_config::{Access, replace_file};
use abide_model::{Table, Unhealed};
use abide_raft::{Claim, OpenError, read_folder};
use serde_json::json;
use tokio::time::sleep;
use tracing::{info, warn};
use uuid::Uuid;

use super::record::Record;
use crate::broker::Broker;
use crate::ha::{Code, Reply};
use crate::replica::Replica;
use crate::stream::chain;

/// Where they are kept.
const ASIDE: &str = "aside";
/// Says that they are being moved, and to where.
const NOTE: &str = "setting-aside";
/// Between two looks for what need not be kept.
const TIDY: Duration = Duration::from_secs(3600);
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

/// What was acknowledged in one of them and is not in this table.
fn unhealed(folder: &Path, cluster: Uuid, table: &Table) -> Result<Vec<Unhealed>, OpenError> {
    let old = read_folder(Replica::default(), folder, cluster)?;
    Ok(table.unhealed(&old.0))
}

/// The answer to `abide ha aside`.
pub(super) async fn list(broker: &Broker) -> Reply {
    let (cluster, data_dir) = (broker.identity.cluster().0, broker.settings.data_dir.clone());
    let table = match broker.table().await {
        Ok(table) => table,
        Err(cause) => {
            let text = format!("what this cluster knows now cannot be told: {cause}");
            return Reply::new(Code::NoQuorum, text);
        }
    };
    let read = tokio::task::spawn_blocking(move || {
        let folders = kept(&data_dir).into_iter();
        folders.map(|it| (unhealed(&it, cluster, &table.0), it)).collect::<Vec<_>>()
    });
    let Ok(all) = read.await else {
        return Reply::new(Code::Failed, "what is kept aside cannot be read");
    };
    let (mut lines, mut details) = (Vec::new(), Vec::new());
    let mut code = Code::Serves;
    for (found, folder) in all {
        let folder = folder.display().to_string();
        match found {
            Ok(found) => {
                lines.push(match found.len() {
                    0 => format!("{folder}: all that it holds is in the table"),
                    n => format!("{folder}: {n} things do not come back by themselves"),
                });
                lines.extend(found.iter().map(|it| format!("  {it}")));
                let items: Vec<_> = found
                    .iter()
                    .map(|it| {
                        let config = it.config().map(|it| &*it.text);
                        json!({ "kind": it.kind(), "text": it.to_string(), "config": config })
                    })
                    .collect();
                details.push(json!({ "folder": folder, "unhealed": items }));
            }
            Err(cause) => {
                code = Code::Failed;
                lines.push(format!("{folder}: cannot be read: {}", chain(&cause)));
            }
        }
    }
    if lines.is_empty() {
        lines.push("nothing is kept aside".to_owned());
    }
    Reply { code, text: lines.join("\n"), details: json!({ "aside": details }) }
}

/// Removes what is kept aside and holds nothing any more that is not in the table; the newest stays in any
/// case. Nothing is removed unread.
pub(crate) async fn tidy(broker: Broker) {
    let (cluster, data_dir) = (broker.identity.cluster().0, broker.settings.data_dir.clone());
    loop {
        sleep(TIDY).await;
        let Ok(table) = broker.table().await else { continue };
        let data_dir = data_dir.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut folders = kept(&data_dir);
            folders.pop();
            for folder in folders {
                if matches!(unhealed(&folder, cluster, &table.0), Ok(left) if left.is_empty()) {
                    info!(folder = %folder.display(), "All that was kept aside is in the table");
                    if let Err(cause) = fs::remove_dir_all(&folder) {
                        warn!(folder = %folder.display(), %cause, "It cannot be removed");
                    }
                }
            }
        });
        // It is tried again.
        let _ = done.await;
    }
}

#[cfg(test)]
mod tests {
    use abide_raft::NodeId;

    use super::*;
    use crate::pair::record_file;

    const LOWER: Claim = Claim { generation: 3, claimant: NodeId(7) };

    fn data() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in FILES {
            fs::write(folder.path().join(file), file).unwrap();
        }
        fs::write(folder.path().join("audit.jsonl"), "kept").unwrap();
        let mut record = Record::open(folder.path()).unwrap();
        record.set_ordered(true);
        record.save().unwrap();
        folder
    }

    fn is_aside(folder: &Path, name: &str) {
        for file in FILES {
            assert!(!folder.join(file).exists(), "{file} is still there");
            assert_eq!(fs::read_to_string(folder.join(ASIDE).join(name).join(file)).unwrap(), file);
        }
        assert!(folder.join("audit.jsonl").exists(), "only the engine's files go");
        assert!(!folder.join(NOTE).exists());
        assert!(!Record::open(folder).unwrap().is_ordered(), "the order was for those data");
        assert!(record_file(folder).exists());
    }

    #[test]
    fn data_that_lost_are_kept_each_time_in_a_folder_of_their_own() {
        let folder = data();
        set_aside(folder.path(), LOWER).unwrap();
        is_aside(folder.path(), "3-7");
        for file in FILES {
            fs::write(folder.path().join(file), file).unwrap();
        }
        set_aside(folder.path(), LOWER).unwrap();
        is_aside(folder.path(), "3-7-2");
        assert_eq!(kept(folder.path()).len(), 2);
    }

    #[test]
    fn a_kill_on_the_way_is_made_good_by_the_next_start() {
        for moved in 0..=FILES.len() {
            let folder = data();
            let path = folder.path();
            fs::write(path.join(NOTE), "3-7").unwrap();
            fs::create_dir_all(path.join(ASIDE).join("3-7")).unwrap();
            for file in &FILES[..moved] {
                fs::rename(path.join(file), path.join(ASIDE).join("3-7").join(file)).unwrap();
            }
            finish_setting_aside(path).unwrap();
            is_aside(path, "3-7");
            finish_setting_aside(path).unwrap();
        }
    }
}
