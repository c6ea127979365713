//! The one thread that touches the database.
//!
//! Writes that are queued together share one transaction and one fsync. A full disk is said at once:
//! what to do about it depends on what was to be written. Any other failure ends writing for good,
//! because after a failed fsync nobody knows what is on the disk.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info};

use crate::contents::Write;
use crate::folder::Reserve;
use crate::ledger::WriteError;
use crate::schema;

/// Jobs that share one transaction, at most; more would only delay the first one's answer.
const GROUP: usize = 64;

pub(crate) type Done = oneshot::Sender<Result<(), WriteError>>;

pub(crate) enum Job {
    Write {
        writes: Vec<Write>,
        done: Done,
    },
    /// See whether a disk that was full still is.
    LookForRoom,
    Close(oneshot::Sender<()>),
}

pub(crate) struct Writer {
    pub(crate) path: PathBuf,
    pub(crate) connection: Connection,
    pub(crate) jobs: mpsc::Receiver<Job>,
    pub(crate) reserve: Reserve,
    pub(crate) full: Arc<AtomicBool>,
    /// Held for as long as this thread lives.
    pub(crate) lock: File,
}

impl Writer {
    /// Serves until told to close, or until every handle is gone.
    pub(crate) fn run(mut self) {
        let mut failed: Option<WriteError> = None;
        let mut next = None;
        let closed = loop {
            match next.take().or_else(|| self.jobs.blocking_recv()) {
                None => break None,
                Some(Job::Close(closed)) => break Some(closed),
                Some(Job::LookForRoom) => self.look_for_room(),
                Some(Job::Write { writes, done }) => {
                    let (writes, dones, after) = self.gather(writes, done);
                    next = after;
                    let result = match &failed {
                        Some(error) => Err(error.clone()),
                        None => self.commit(&writes),
                    };
                    if let Err(error @ WriteError::Failed { .. }) = &result {
                        failed = Some(error.clone());
                    }
                    for done in dones {
                        // Whoever asked may have gone; there is nobody else to tell.
                        let _ = done.send(result.clone());
                    }
                }
            }
        };
        if let Err((_, cause)) = self.connection.close() {
            error!(path = %self.path.display(), %cause, "Cannot close the ledger");
        }
        drop(self.lock);
        if let Some(closed) = closed {
            let _ = closed.send(());
        }
    }

    /// The writes that are already queued behind this one, and the first job that is none.
    fn gather(
        &mut self,
        mut writes: Vec<Write>,
        done: Done,
    ) -> (Vec<Write>, Vec<Done>, Option<Job>) {
        let mut dones = vec![done];
        while dones.len() < GROUP {
            match self.jobs.try_recv() {
                Ok(Job::Write { writes: more, done }) => {
                    writes.extend(more);
                    dones.push(done);
                }
                Ok(other) => return (writes, dones, Some(other)),
                Err(_) => break,
            }
        }
        (writes, dones, None)
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), WriteError> {
        let mut result = self.transaction(writes);
        if result.as_ref().is_err_and(is_full) && self.reserve.give_up() {
            result = self.transaction(writes);
            self.has_no_room();
        }
        match result {
            Ok(()) => {
                self.look_for_room();
                Ok(())
            }
            Err(cause) if is_full(&cause) => {
                self.has_no_room();
                Err(WriteError::Full { path: self.path.clone() })
            }
            Err(cause) => {
                error!(path = %self.path.display(), %cause, "Cannot write the ledger");
                Err(WriteError::Failed { path: self.path.clone(), cause: Arc::new(cause) })
            }
        }
    }

    fn transaction(&mut self, writes: &[Write]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for write in writes {
            schema::apply(&transaction, write)?;
        }
        transaction.commit()
    }

    fn has_no_room(&self) {
        if !self.full.swap(true, Ordering::Relaxed) {
            error!(path = %self.path.display(), "The disk is full: no new sessions");
        }
    }

    /// After a write that succeeded on what was set aside: whether it can be set aside again.
    fn look_for_room(&self) {
        if self.full.load(Ordering::Relaxed) && self.reserve.take() {
            self.full.store(false, Ordering::Relaxed);
            info!(path = %self.path.display(), "The disk has room again");
        }
    }
}

fn is_full(cause: &rusqlite::Error) -> bool {
    cause.sqlite_error_code() == Some(ErrorCode::DiskFull)
}
