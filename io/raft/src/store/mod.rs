//! The data folder: `lock`, the database `raft.db`, and one file `snapshot`.
//!
//! The folder is one node's life. An empty one becomes a new node under a new id; ids are never given
//! again, because a voter that lost its disk has also lost what it promised.

mod aside;
mod log;
#[cfg(feature = "sim")]
mod memory;
mod rows;
mod schema;
mod snapshot;
mod tail;
mod wal;
mod writer;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use uuid::Uuid;

pub use aside::read_folder;
pub(crate) use log::LogStore;
#[cfg(feature = "sim")]
pub use memory::{Disk, Pace};
pub(crate) use schema::Identity;
pub use schema::OpenError;
pub(crate) use snapshot::Snapshots;
pub use snapshot::{SnapshotFault, SnapshotHeader};
pub(crate) use writer::Health;
pub use writer::StoreFault;
pub(crate) use writer::TakeOver;

use crate::ids::{Claim, NodeId};
use crate::machine::Machine;

const LOCK: &str = "lock";
const DATABASE: &str = "raft.db";
/// How the names of files begin that are not yet what they will be.
const UNFINISHED: &str = "new-";

/// An opened data folder.
pub(crate) struct Store<M> {
    pub(crate) identity: Identity,
    pub(crate) log: LogStore,
    pub(crate) snapshots: Snapshots,
    /// As the snapshot has it, if there is one.
    pub(crate) machine: Option<M>,
}

impl<M: Machine> Store<M> {
    /// Opens the folder, or makes it. Blocks; takes as long as reading all of it does.
    pub(crate) fn open(folder: &Path, cluster: Uuid) -> Result<Self, OpenError> {
        fs::create_dir_all(folder).map_err(|cause| OpenError::io(folder, cause))?;
        let lock = take_lock(folder)?;
        let database = folder.join(DATABASE);
        // Before a database is made: a snapshot without one is damage, not a new folder.
        let (snapshots, machine) = Snapshots::open(folder, snapshot::Work::Apart)?;
        if !database.exists() {
            if machine.is_some() {
                return Err(OpenError::damaged(&database, "it is missing beside its snapshot"));
            }
            let identity = Identity { cluster, node: NodeId::random(), claim: Claim::default() };
            schema::create(&database, identity)?;
        }
        let (connection, identity, marks) = schema::open::<M>(&database, cluster)?;
        let covered = snapshots.header().and_then(|header| header.last);
        if marks.purged > covered {
            let detail = "it does not reach as far as the log was emptied";
            return Err(OpenError::damaged(&folder.join("snapshot"), detail));
        }
        remove_unfinished(folder).map_err(|cause| OpenError::io(folder, cause))?;
        let log = LogStore::start(&database, connection, marks, lock)
            .map_err(|cause| OpenError::io(&database, cause))?;
        Ok(Self { identity, log, snapshots, machine })
    }
}

fn take_lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join(LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|cause| OpenError::io(&path, cause))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: folder.to_owned() }),
        Err(TryLockError::Error(cause)) => Err(OpenError::io(&path, cause)),
    }
}

/// Files that were being written when an earlier process died.
fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
