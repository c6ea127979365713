//! The one thread that touches the database.
//!
//! Writes that are queued together share one transaction and one fsync. A full disk is waited out: SQLite
//! has taken the transaction back whole, so trying again is safe. Any other failure ends writing for
//! good, because after a failed fsync nobody knows what is on the disk.
//!
//! ```text
//! Good ⇄ Full        Good, Full → Failed
//! ```

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{oneshot, watch};
use tracing::{error, info, warn};

use super::rows;
use super::schema::Identity;
use crate::ids::{Ballot, Position};
use crate::meters::Meters;
use crate::record::{Record, RecordFault};

/// Jobs that share one transaction, at most; more would only delay the first one's answer.
const GROUP: usize = 64;
/// Without work: how often the free space is looked at and small debts are paid.
const IDLE: Duration = Duration::from_millis(500);
/// On a full disk: how long until the next try.
const FULL_RETRY: Duration = Duration::from_millis(200);
/// Purged rows that are deleted along with other work, so that no write waits for a long purge.
const PURGE_STEP: usize = 64;

/// How the store fares.
#[derive(Debug, Clone)]
pub(crate) enum Health {
    Good,
    /// A write waits until the disk has room again.
    Full,
    /// Nothing will be written any more.
    Failed(StoreFault),
}

/// The database could not be written or read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot use {path}")]
pub struct StoreFault {
    /// The database.
    pub path: PathBuf,
    #[source]
    cause: Arc<Cause>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Record(#[from] RecordFault),
    #[error("the store is closed")]
    Closed,
}

impl StoreFault {
    pub(crate) fn new(path: &Path, cause: impl Into<Cause>) -> Self {
        Self { path: path.to_owned(), cause: Arc::new(cause.into()) }
    }
}

/// One change of the database.
#[derive(Debug)]
pub(crate) enum Write {
    Append(Vec<Record>),
    Ballot(Ballot),
    /// Forgets this index and all after it.
    Truncate(u64),
    /// Forgets this position and all before it.
    Purge(Position),
    Identity(Identity),
    /// A forced takeover, all of it or nothing.
    TakeOver(TakeOver),
}

/// What a forced takeover changes: who this node is, whom it obeys (itself), and who the members are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TakeOver {
    pub(crate) identity: Identity,
    pub(crate) ballot: Ballot,
    /// The members, and what else the new generation begins with.
    pub(crate) records: Vec<Record>,
}

pub(crate) type Done = Box<dyn FnOnce(Result<(), StoreFault>) + Send>;

pub(crate) enum Job {
    Write(Write, Done),
    /// Never waited for: it may reach the disk with a later write, or not before the end.
    Committed(Position),
    /// Entries of these indices, from the first, until their bodies exceed so many bytes.
    Read(Range<u64>, usize, oneshot::Sender<Result<Vec<Record>, StoreFault>>),
    Close(Done),
    #[cfg(test)]
    Execute(&'static str),
}

/// What the thread shares with its handle.
pub(crate) struct Shared {
    pub(crate) health: watch::Sender<Health>,
    /// Bytes free for us on the data folder's file system.
    pub(crate) free: AtomicU64,
    /// A write on a full disk is given up, not waited out.
    pub(crate) closing: AtomicBool,
    pub(crate) meters: Meters,
}

impl Shared {
    /// Looks anew. A system call of a microsecond. 0 while a write waits for room.
    pub(crate) fn look_at_free_space(&self, path: &Path) -> u64 {
        let free = match rustix::fs::statvfs(path) {
            _ if matches!(*self.health.borrow(), Health::Full) => 0,
            Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize),
            Err(cause) => {
                warn!(path = %path.display(), %cause, "Cannot see the free space");
                return self.free.load(Ordering::Relaxed);
            }
        };
        self.free.store(free, Ordering::Relaxed);
        free
    }
}

pub(crate) struct Writer {
    pub(crate) path: PathBuf,
    pub(crate) connection: Connection,
    pub(crate) jobs: Receiver<Job>,
    pub(crate) shared: Arc<Shared>,
    /// Owed to the disk.
    pub(crate) committed: Option<Position>,
    /// Rows up to here are marked as purged but may still stand in the table.
    pub(crate) purged: Option<u64>,
    /// The data folder's. Whatever happens to the handles, the folder is in use until this thread ends.
    pub(crate) _lock: File,
}

impl Writer {
    /// Serves until told to close, or until every handle is gone.
    pub(crate) fn run(mut self) {
        let mut next = None;
        loop {
            let job = match next.take() {
                Some(job) => job,
                None => match self.jobs.recv_timeout(IDLE) {
                    Ok(job) => job,
                    Err(RecvTimeoutError::Timeout) => {
                        self.idle();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                },
            };
            match job {
                Job::Write(write, done) => next = self.group(write, done),
                Job::Committed(position) => self.committed = Some(position),
                Job::Read(range, bytes, reply) => {
                    let read = rows::read(&self.connection, range, bytes);
                    // The reader may have gone; there is nobody else to tell.
                    let _ = reply.send(read.map_err(|cause| StoreFault::new(&self.path, cause)));
                }
                Job::Close(done) => return done(self.close()),
                #[cfg(test)]
                Job::Execute(sql) => self.connection.execute_batch(sql).expect("test statement"),
            }
        }
    }

    /// Gathers the writes that are already queued behind this one, and commits them together. Gives
    /// back the first job that is no write.
    fn group(&mut self, write: Write, done: Done) -> Option<Job> {
        let (mut writes, mut dones) = (vec![write], vec![done]);
        let mut next = None;
        while writes.len() < GROUP {
            match self.jobs.try_recv() {
                Ok(Job::Write(write, done)) => {
                    writes.push(write);
                    dones.push(done);
                }
                Ok(Job::Committed(position)) => self.committed = Some(position),
                Ok(other) => {
                    next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        let result = self.commit(&writes);
        for done in dones {
            done(result.clone());
        }
        next
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreFault> {
        loop {
            if let Health::Failed(fault) = &*self.shared.health.borrow() {
                return Err(fault.clone());
            }
            match self.transaction(writes) {
                Ok(()) => {
                    self.has_room();
                    self.shared.look_at_free_space(&self.path);
                    return Ok(());
                }
                Err(cause) if is_full(&cause) && !self.shared.closing.load(Ordering::Relaxed) => {
                    self.is_full();
                    self.shared.look_at_free_space(&self.path);
                    thread::park_timeout(FULL_RETRY);
                }
                Err(cause) => return Err(self.fail(cause)),
            }
        }
    }

    fn transaction(&mut self, writes: &[Write]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for write in writes {
            match write {
                Write::Append(records) => rows::append(&transaction, records)?,
                Write::Ballot(ballot) => rows::set_ballot(&transaction, *ballot)?,
                Write::Truncate(since) => rows::truncate(&transaction, *since)?,
                Write::Purge(upto) => rows::set_mark(&transaction, rows::PURGED, *upto)?,
                Write::Identity(identity) => rows::set_identity(&transaction, *identity)?,
                Write::TakeOver(TakeOver { identity, ballot, records }) => {
                    rows::set_identity(&transaction, *identity)?;
                    rows::set_ballot(&transaction, *ballot)?;
                    rows::append(&transaction, records)?;
                }
            }
        }
        if let Some(committed) = self.committed {
            rows::set_mark(&transaction, rows::COMMITTED, committed)?;
        }
        let purged = writes.iter().rev().find_map(|write| match write {
            Write::Purge(upto) => Some(upto.index),
            _ => None,
        });
        let upto = purged.or(self.purged);
        let finished = match upto {
            Some(upto) => rows::delete_purged(&transaction, upto, PURGE_STEP)? < PURGE_STEP,
            None => true,
        };
        let began = Instant::now();
        transaction.commit()?;
        self.shared.meters.synced(began.elapsed());
        self.committed = None;
        self.purged = upto.filter(|_| !finished);
        Ok(())
    }

    /// Pays what is owed: deletes purged rows, and writes how far is committed.
    fn idle(&mut self) {
        self.shared.look_at_free_space(&self.path);
        let failed = matches!(*self.shared.health.borrow(), Health::Failed(_));
        if failed || self.committed.is_none() && self.purged.is_none() {
            return;
        }
        match self.transaction(&[]) {
            Ok(()) => self.has_room(),
            // Nobody waits for it.
            Err(cause) if is_full(&cause) => self.is_full(),
            Err(cause) => {
                self.fail(cause);
            }
        }
    }

    fn close(mut self) -> Result<(), StoreFault> {
        self.commit(&[])?;
        let path = self.path;
        self.connection.close().map_err(|(_, cause)| StoreFault::new(&path, cause))
    }

    fn has_room(&self) {
        self.shared.health.send_if_modified(|health| {
            let was_full = matches!(health, Health::Full);
            if was_full {
                info!(path = %self.path.display(), "The disk has room again");
                *health = Health::Good;
            }
            was_full
        });
    }

    fn is_full(&self) {
        self.shared.health.send_if_modified(|health| {
            let was_good = matches!(health, Health::Good);
            if was_good {
                error!(path = %self.path.display(), "The disk is full: nothing can be written");
                *health = Health::Full;
            }
            was_good
        });
    }

    fn fail(&self, cause: rusqlite::Error) -> StoreFault {
        error!(path = %self.path.display(), %cause, "Writing failed: the engine stops");
        let fault = StoreFault::new(&self.path, cause);
        self.shared.health.send_replace(Health::Failed(fault.clone()));
        fault
    }
}

fn is_full(cause: &rusqlite::Error) -> bool {
    cause.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

/// What a newly opened database says, apart from its log's contents.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Marks {
    pub(crate) ballot: Option<Ballot>,
    pub(crate) committed: Option<Position>,
    pub(crate) purged: Option<Position>,
    /// Of the log, whether or not its entry is still there.
    pub(crate) last: Option<Position>,
}

impl Marks {
    pub(crate) fn load(connection: &Connection) -> Result<Self, Cause> {
        let purged = rows::mark(connection, rows::PURGED)?;
        let last = rows::last(connection)?;
        Ok(Self {
            ballot: rows::ballot(connection)?,
            committed: rows::mark(connection, rows::COMMITTED)?,
            purged,
            last: last.filter(|last| Some(last.index) > purged.map(|p| p.index)).or(purged),
        })
    }
}
