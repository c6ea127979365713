//! The database's format, and the only place that decides whether a file is ours and sound.
//!
//! Everything that a forced takeover must change together (claim, node id, ballot, log) is in this one
//! file, so that it can be one transaction.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use uuid::Uuid;

use super::snapshot::SnapshotFault;
use super::writer::{Cause, Marks};
use super::{rows, wal};
use crate::ids::{Claim, NodeId};
use crate::machine::{DecodeError, Machine};
use crate::record::RecordFault;

/// "ABDR": marks the file as ours.
const APPLICATION_ID: i32 = 0x4142_4452;
/// Goes up when an older version could not read the file any more.
const FORMAT: i32 = 1;

/// FROZEN: format 1. `cast_signed` carries u64 through SQLite's integers.
const TABLES: &str = "
    CREATE TABLE identity (
        one        INTEGER PRIMARY KEY CHECK (one = 1),
        cluster    TEXT    NOT NULL,
        node       INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        claimant   INTEGER NOT NULL,
        checksum   INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE ballot (
        one        INTEGER PRIMARY KEY CHECK (one = 1),
        term       INTEGER NOT NULL,
        node       INTEGER NOT NULL,
        committed  INTEGER NOT NULL,
        checksum   INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE mark (
        name       TEXT    PRIMARY KEY CHECK (name IN ('committed', 'purged')),
        term       INTEGER NOT NULL,
        leader     INTEGER NOT NULL,
        idx        INTEGER NOT NULL,
        checksum   INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE log (
        idx        INTEGER PRIMARY KEY,
        term       INTEGER NOT NULL,
        leader     INTEGER NOT NULL,
        kind       INTEGER NOT NULL,
        body       BLOB    NOT NULL,
        checksum   INTEGER NOT NULL
    ) STRICT;
";

/// Why a data folder cannot be used. Whatever it is, nothing in the folder was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or a file in it cannot be read or made.
    #[error("cannot use {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Somebody else has the folder open.
    #[error("another process is using {path}")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The file's contents are not what was written.
    #[error(
        "{path} is damaged ({detail}); nothing was changed. Restore the file, or move the whole \
             folder away to start this broker empty"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A sound file of some other program.
    #[error("{path} is a database, but not one of this engine; nothing was changed")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Written by a newer version.
    #[error(
        "{path} has format {found}, this version knows up to {known}; nothing was changed. Run the \
             version that wrote it, or a newer one"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// It holds changes of a newer version.
    #[error(
        "{path} holds changes that this version cannot read; nothing was changed. Run the version \
             that wrote them, or a newer one"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// What is wrong with the first of them.
        #[source]
        cause: DecodeError,
    },
    /// The folder belongs to another cluster.
    #[error("{path} belongs to cluster {found}, not to {expected}; nothing was changed")]
    OtherCluster {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: Uuid,
        /// Ours.
        expected: Uuid,
    },
    /// The snapshot cannot be read.
    #[error(transparent)]
    Snapshot(Box<SnapshotFault>),
    /// SQLite cannot work with the file, though nothing says that it is damaged.
    #[error("cannot open {path}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: rusqlite::Error,
    },
}

impl OpenError {
    pub(crate) fn io(path: &Path, cause: io::Error) -> Self {
        Self::Io { path: path.to_owned(), cause }
    }

    pub(crate) fn damaged(path: &Path, detail: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), detail: detail.into() }
    }

    fn sqlite(path: &Path, cause: rusqlite::Error) -> Self {
        match cause.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::damaged(path, cause.to_string())
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::InUse { path: path.to_owned() }
            }
            _ => Self::Sqlite { path: path.to_owned(), cause },
        }
    }
}

/// Who this data folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) cluster: Uuid,
    pub(crate) node: NodeId,
    pub(crate) claim: Claim,
}

/// Makes the database under a temporary name and moves it into place whole: a crash on the way leaves
/// nothing that looks like a database.
pub(crate) fn create(path: &Path, identity: Identity) -> Result<(), OpenError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let new = tempfile::Builder::new()
        .prefix(super::UNFINISHED)
        .tempfile_in(folder)
        .map_err(|cause| OpenError::io(folder, cause))?;
    fill(new.path(), identity).map_err(|cause| OpenError::sqlite(path, cause))?;
    new.as_file().sync_all().map_err(|cause| OpenError::io(path, cause))?;
    new.persist_noclobber(path).map_err(|failed| OpenError::io(path, failed.error))?;
    sync_folder(folder)
}

fn fill(path: &Path, identity: Identity) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.execute_batch(TABLES)?;
    rows::set_identity(&connection, identity)?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    connection.close().map_err(|(_, cause)| cause)
}

/// Opens an existing database after having looked at every page of it.
///
/// Until all checks have passed the connection only reads, and on a refusal it leaves without
/// the checkpoint that closing would otherwise do.
pub(crate) fn open<M: Machine>(
    path: &Path,
    cluster: Uuid,
) -> Result<(Connection, Identity, Marks), OpenError> {
    check_header(path)?;
    wal::check(path)?;
    let had_wal = wal::path_of(path).exists();
    let checked = open_and_check::<M>(path, cluster);
    if checked.is_err() && !had_wal {
        // SQLite made an empty one; leave the folder as it was found.
        let _ = std::fs::remove_file(wal::path_of(path));
    }
    let (connection, identity, marks) = checked?;
    tune(&connection).map_err(|cause| OpenError::sqlite(path, cause))?;
    Ok((connection, identity, marks))
}

fn check_header(path: &Path) -> Result<(), OpenError> {
    let mut header = [0; 100];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    match read {
        Ok(()) if header.starts_with(b"SQLite format 3\0") => Ok(()),
        Ok(()) => Err(OpenError::damaged(path, "it does not begin like a database")),
        Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => {
            Err(OpenError::damaged(path, "it is shorter than a database's header"))
        }
        Err(cause) => Err(OpenError::io(path, cause)),
    }
}

fn open_and_check<M: Machine>(
    path: &Path,
    cluster: Uuid,
) -> Result<(Connection, Identity, Marks), OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|cause| OpenError::sqlite(path, cause))?;
    let sql = |cause| OpenError::sqlite(path, cause);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(sql)?;
    // Before the first access: then SQLite keeps the index of its log in memory, no other process
    // can open the file, and there is no third file.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(sql)?;

    let pragma = |name: &str| -> Result<i64, OpenError> {
        connection.pragma_query_value(None, name, |row| row.get(0)).map_err(sql)
    };
    if pragma("application_id")? != i64::from(APPLICATION_ID) {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    let found = pragma("user_version")?;
    if found != i64::from(FORMAT) {
        return Err(OpenError::Format { path: path.to_owned(), found, known: i64::from(FORMAT) });
    }
    let mode: String =
        connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(sql)?;
    if mode != "wal" {
        return Err(OpenError::damaged(path, format!("its journal mode is {mode}")));
    }
    let verdict: String =
        connection.pragma_query_value(None, "quick_check", |row| row.get(0)).map_err(sql)?;
    if verdict != "ok" {
        return Err(OpenError::damaged(path, verdict));
    }
    let unsound = |cause| match cause {
        Cause::Sqlite(cause) => sql(cause),
        Cause::Record(RecordFault::Version { cause, .. }) => {
            OpenError::Version { path: path.to_owned(), cause }
        }
        Cause::Record(_) | Cause::Closed => OpenError::damaged(path, cause.to_string()),
    };
    rows::verify::<M>(&connection).map_err(unsound)?;
    let identity = rows::identity(&connection).map_err(unsound)?;
    let marks = Marks::load(&connection).map_err(unsound)?;
    if marks.committed > marks.last {
        return Err(OpenError::damaged(path, "its log ends before what was committed"));
    }
    if identity.cluster != cluster {
        let found = identity.cluster;
        return Err(OpenError::OtherCluster { path: path.to_owned(), found, expected: cluster });
    }
    Ok((connection, identity, marks))
}

fn tune(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    // Pages of 4 KiB: a checkpoint for every 8 MiB of log, some milliseconds each.
    connection.pragma_update(None, "wal_autocheckpoint", 2048)?;
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

pub(crate) fn sync_folder(folder: &Path) -> Result<(), OpenError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|cause| OpenError::io(folder, cause))
}
