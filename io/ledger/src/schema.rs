//! The database's format, and the only place that decides whether a file is ours and sound.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use abide_model::{BrokerId, SessionId};
use abide_session::PassHash;
use abide_ticket::TokenId;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::info;
use uuid::Uuid;

use crate::contents::{ClockOffset, Contents, LogOut, UsedTicket, Write};
use crate::stored::{
    StoredClock, StoredCluster, StoredConfig, StoredFence, StoredLogOut, StoredPass, StoredRow,
    StoredTicket,
};

/// "ABDL": marks the file as ours.
const APPLICATION_ID: i32 = 0x4142_444c;
/// Goes up when an older version could not read the file any more.
const FORMAT: i32 = 3;

/// FROZEN: format 3. Each record is JSON with a CRC-32 over its kind, its key and itself.
const TABLES: &str = "
    CREATE TABLE record (
        kind     TEXT    NOT NULL CHECK (kind IN
                 ('session', 'ticket', 'pass', 'log-out', 'clock', 'fence', 'cluster', 'config')),
        key      TEXT    NOT NULL,
        body     TEXT    NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY (kind, key)
    ) STRICT, WITHOUT ROWID;
";

/// Format 2 is the same without the configuration, and format 1 without log-outs too.
const OLD_ASIDE: &str = "ALTER TABLE record RENAME TO old;";
const OLD_BACK: &str = "
    INSERT INTO record SELECT kind, key, body, checksum FROM old;
    DROP TABLE old;
";

/// Why a data folder cannot be used. Whatever it is, nothing in the folder was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or a file in it cannot be read or made.
    #[error("cannot use {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Another agent has the folder.
    #[error("another agent is using {}", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The file's content is not what was written.
    #[error(
        "{} is damaged ({detail}); nothing was changed. Restore the file; or move it away to start \
         without it: desktops that run are then listed as unknown and handed to nobody",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A sound file of some other program.
    #[error("{} is a database, but not an agent's ledger; nothing was changed", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Written by a newer version.
    #[error(
        "{} has format {found}, this version knows up to {FORMAT}; nothing was changed. Run the \
         version that wrote it, or a newer one",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// SQLite cannot work with the file, though nothing says that it is damaged.
    #[error("cannot open {}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: rusqlite::Error,
    },
}

impl OpenError {
    pub(crate) fn io(path: &Path, cause: io::Error) -> Self {
        Self::Io { path: path.to_owned(), cause }
    }

    fn damaged(path: &Path, detail: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), detail: detail.into() }
    }

    fn sqlite(path: &Path, cause: rusqlite::Error) -> Self {
        match cause.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::damaged(path, cause.to_string())
            }
            _ => Self::Sqlite { path: path.to_owned(), cause },
        }
    }
}

/// Makes the database under a temporary name and moves it into place whole: a crash on the way leaves
/// nothing that looks like a database.
pub(crate) fn create(path: &Path) -> Result<(), OpenError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let failed = |cause| OpenError::io(path, cause);
    let new = tempfile::Builder::new().prefix("new-").tempfile_in(folder).map_err(failed)?;
    fill(new.path()).map_err(|cause| OpenError::sqlite(path, cause))?;
    let only_us = std::fs::Permissions::from_mode(0o600);
    new.as_file().set_permissions(only_us).map_err(failed)?;
    new.as_file().sync_all().map_err(failed)?;
    new.persist_noclobber(path).map_err(|error| failed(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn fill(path: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.execute_batch(TABLES)?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    connection.close().map_err(|(_, cause)| cause)
}

/// Opens an existing database after having looked at every page of it, and reads it.
///
/// Until all checks have passed the connection only reads, and on a refusal it leaves without
/// the checkpoint that closing would otherwise do.
pub(crate) fn open(path: &Path) -> Result<(Connection, Contents), OpenError> {
    check_header(path)?;
    let wal = path.with_extension("db-wal");
    let had_wal = wal.exists();
    let opened = open_and_check(path)
        .and_then(|connection| Ok((load(&connection, path)?, connection)))
        .and_then(|(contents, connection)| {
            let ready = tune(&connection).and_then(|()| upgrade(&connection));
            ready.map_err(|cause| OpenError::sqlite(path, cause))?;
            Ok((connection, contents))
        });
    if opened.is_err() && !had_wal {
        // SQLite made an empty one; leave the folder as it was found. Failing to matters to nobody.
        let _ = std::fs::remove_file(wal);
    }
    opened
}

fn check_header(path: &Path) -> Result<(), OpenError> {
    let mut header = [0; 100];
    match File::open(path).and_then(|mut file| file.read_exact(&mut header)) {
        Ok(()) if header.starts_with(b"SQLite format 3\0") => Ok(()),
        Ok(()) => Err(OpenError::damaged(path, "it does not begin like a database")),
        Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => {
            Err(OpenError::damaged(path, "it is shorter than a database's header"))
        }
        Err(cause) => Err(OpenError::io(path, cause)),
    }
}

fn open_and_check(path: &Path) -> Result<Connection, OpenError> {
    let sql = |cause| OpenError::sqlite(path, cause);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(sql)?;
    // Before the first access: then SQLite keeps the index of its log in memory, no other process
    // can open the file, and there is no third file.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(sql)?;

    let number = |name: &str| -> Result<i64, OpenError> {
        connection.pragma_query_value(None, name, |row| row.get(0)).map_err(sql)
    };
    if number("application_id")? != i64::from(APPLICATION_ID) {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    let found = number("user_version")?;
    if !(1..=i64::from(FORMAT)).contains(&found) {
        return Err(OpenError::Format { path: path.to_owned(), found });
    }
    let text = |name: &str| -> Result<String, OpenError> {
        connection.pragma_query_value(None, name, |row| row.get(0)).map_err(sql)
    };
    let mode = text("journal_mode")?;
    if mode != "wal" {
        return Err(OpenError::damaged(path, format!("its journal mode is {mode}")));
    }
    let verdict = text("quick_check")?;
    if verdict != "ok" {
        return Err(OpenError::damaged(path, verdict));
    }
    Ok(connection)
}

fn tune(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    // Pages of 4 KiB: the log stays below about 1 MiB, which is what a full disk leaves for it.
    connection.pragma_update(None, "wal_autocheckpoint", 256)?;
    connection.pragma_update(None, "cache_size", -1024)?;
    Ok(())
}

/// Brings an older format to this one, all or nothing.
fn upgrade(connection: &Connection) -> rusqlite::Result<()> {
    let found: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found == FORMAT {
        return Ok(());
    }
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(&[OLD_ASIDE, TABLES, OLD_BACK].concat())?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()?;
    info!(from = found, to = FORMAT, "The ledger has a new format");
    Ok(())
}

/// Reads every record, and believes none whose checksum or form is wrong.
fn load(connection: &Connection, path: &Path) -> Result<Contents, OpenError> {
    let sql = |cause| OpenError::sqlite(path, cause);
    let mut contents = Contents::default();
    let mut statement = connection
        .prepare("SELECT kind, key, body, checksum FROM record ORDER BY kind, key")
        .map_err(sql)?;
    let mut rows = statement.query(()).map_err(sql)?;
    while let Some(row) = rows.next().map_err(sql)? {
        let (kind, key, body): (String, String, String) =
            (row.get(0).map_err(sql)?, row.get(1).map_err(sql)?, row.get(2).map_err(sql)?);
        let checksum: i64 = row.get(3).map_err(sql)?;
        let bad = || {
            OpenError::damaged(path, format!("the {kind} record {key:?} is not what was written"))
        };
        if checksum != checksum_of(&kind, &key, &body) {
            return Err(bad());
        }
        contents.take(&kind, &key, &body).ok_or_else(bad)?;
    }
    Ok(contents)
}

impl Contents {
    fn take(&mut self, kind: &str, key: &str, body: &str) -> Option<()> {
        match kind {
            "session" => {
                let session: SessionId = key.parse().ok()?;
                self.sessions.push(from_json::<StoredRow>(body)?.into_row(session));
            }
            "ticket" => {
                let jti = TokenId(Uuid::parse_str(key).ok()?);
                let forget_at = from_json::<StoredTicket>(body)?.forget_at;
                self.tickets.push(UsedTicket { jti, forget_at });
            }
            "pass" => {
                let mut hash = [0; 32];
                hex::decode_to_slice(key, &mut hash).ok()?;
                self.passes.push(from_json::<StoredPass>(body)?.into_pass(PassHash(hash)));
            }
            "log-out" => {
                let before = from_json::<StoredLogOut>(body)?.before;
                self.log_outs.push(LogOut { user: key.parse().ok()?, before });
            }
            "clock" => {
                let broker: BrokerId = key.parse().ok()?;
                let offset_ms = from_json::<StoredClock>(body)?.offset_ms;
                self.clocks.push(ClockOffset { broker, offset_ms });
            }
            "fence" => self.fence = from_json::<StoredFence>(body)?.into(),
            "cluster" => self.cluster = hex::decode(from_json::<StoredCluster>(body)?.view).ok()?,
            "config" => self.config = from_json::<StoredConfig>(body)?.into_kept()?,
            _ => return None,
        }
        Some(())
    }
}

fn from_json<T: DeserializeOwned>(body: &str) -> Option<T> {
    serde_json::from_str(body).ok()
}

/// Carries out one write inside the caller's transaction.
pub(crate) fn apply(connection: &Connection, write: &Write) -> rusqlite::Result<()> {
    let ticket = |jti: &TokenId| jti.to_string();
    let pass = |hash: &PassHash| hex::encode(hash.0);
    match write {
        Write::PutSession(row) => match StoredRow::of(row) {
            Some(stored) => put(connection, "session", &row.session.to_string(), &stored),
            None => Ok(()),
        },
        Write::DeleteSession(id) => delete(connection, "session", &id.to_string()),
        Write::PutFence(fence) => put(connection, "fence", "", &StoredFence::from(*fence)),
        Write::PutTicket(UsedTicket { jti, forget_at }) => {
            put(connection, "ticket", &ticket(jti), &StoredTicket { forget_at: *forget_at })
        }
        Write::DeleteTicket(jti) => delete(connection, "ticket", &ticket(jti)),
        Write::PutPass(it) => put(connection, "pass", &pass(&it.hash), &StoredPass::of(it)),
        Write::DeletePass(hash) => delete(connection, "pass", &pass(hash)),
        Write::PutLogOut(LogOut { user, before }) => {
            put(connection, "log-out", user.as_str(), &StoredLogOut { before: *before })
        }
        Write::DeleteLogOut(user) => delete(connection, "log-out", user.as_str()),
        Write::PutClock(ClockOffset { broker, offset_ms }) => {
            put(connection, "clock", broker.as_str(), &StoredClock { offset_ms: *offset_ms })
        }
        Write::PutCluster(view) => {
            put(connection, "cluster", "", &StoredCluster { view: hex::encode(view) })
        }
        Write::PutConfig(kept) => put(connection, "config", "", &StoredConfig::of(kept)),
    }
}

fn put(
    connection: &Connection,
    kind: &str,
    key: &str,
    body: &impl Serialize,
) -> rusqlite::Result<()> {
    let body = serde_json::to_string(body)
        .map_err(|cause| rusqlite::Error::ToSqlConversionFailure(cause.into()))?;
    let checksum = checksum_of(kind, key, &body);
    connection
        .prepare_cached("INSERT OR REPLACE INTO record VALUES (?1, ?2, ?3, ?4)")?
        .execute((kind, key, body, checksum))
        .map(drop)
}

fn delete(connection: &Connection, kind: &str, key: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM record WHERE kind = ?1 AND key = ?2")?
        .execute((kind, key))
        .map(drop)
}

fn checksum_of(kind: &str, key: &str, body: &str) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    for part in [kind, "\n", key, "\n", body] {
        hasher.update(part.as_bytes());
    }
    hasher.finalize().into()
}
