//! The log as openraft wants it: a handle to the [`Writer`]'s thread, with the log's end in memory.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread::{self, Thread};

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{
    AnyError, Entry, ErrorSubject, ErrorVerb, LogId, LogState, OptionalSend, RaftLogReader,
    StorageIOError, Vote,
};
use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use super::schema::Identity;
use super::tail::{LastAfterTruncate, Tail};
use super::writer::{Cause, Health, Job, Marks, Shared, StoreFault, TakeOver, Write, Writer};
use crate::ids::{Ballot, NodeId, Position};
use crate::machine::Machine;
use crate::meters::Meters;
use crate::record::Record;
use crate::types::{StorageFault, Types};

/// Entries in one append to another node, in bytes: below gRPC's 4 MiB with one more entry on top.
const PAYLOAD: usize = 2 << 20;

/// The log, the ballot and the marks. Clones are the same store.
#[derive(Clone)]
pub(crate) struct LogStore {
    path: Arc<PathBuf>,
    /// Unbounded, yet short: openraft waits for each append before it sends the next one.
    jobs: Jobs,
    tail: Arc<Mutex<Tail>>,
    shared: Arc<Shared>,
}

/// Who does the jobs.
#[derive(Clone)]
enum Jobs {
    /// The [`Writer`], on its thread.
    Writer(mpsc::Sender<Job>, Thread),
    #[cfg(feature = "sim")]
    Simulated(tokio::sync::mpsc::UnboundedSender<Job>),
}

impl LogStore {
    /// Starts the thread that owns the connection from now on.
    pub(crate) fn start(
        path: &Path,
        connection: Connection,
        marks: Marks,
        lock: File,
    ) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let shared = Arc::new(Shared {
            health: watch::Sender::new(Health::Good),
            free: AtomicU64::new(u64::MAX),
            closing: AtomicBool::new(false),
            meters: Meters::default(),
        });
        let writer = Writer {
            path: path.to_owned(),
            connection,
            jobs: queue,
            shared: shared.clone(),
            committed: None,
            purged: marks.purged.map(|purged| purged.index),
            _lock: lock,
        };
        shared.look_at_free_space(path);
        let thread = thread::Builder::new().name("raft-log".into()).spawn(|| writer.run())?;
        Ok(Self {
            path: Arc::new(path.to_owned()),
            jobs: Jobs::Writer(jobs, thread.thread().clone()),
            tail: Arc::new(Mutex::new(Tail::new(marks))),
            shared,
        })
    }

    /// A log whose jobs a simulation does.
    #[cfg(feature = "sim")]
    pub(crate) fn simulated(jobs: tokio::sync::mpsc::UnboundedSender<Job>, marks: Marks) -> Self {
        let shared = Shared {
            health: watch::Sender::new(Health::Good),
            free: AtomicU64::new(u64::MAX),
            closing: AtomicBool::new(false),
            meters: Meters::default(),
        };
        Self {
            path: Arc::default(),
            jobs: Jobs::Simulated(jobs),
            tail: Arc::new(Mutex::new(Tail::new(marks))),
            shared: Arc::new(shared),
        }
    }

    /// How the store fares, now and in future.
    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    /// What the node counts. The store's handle is what every part of it has.
    pub(crate) fn meters(&self) -> &Meters {
        &self.shared.meters
    }

    /// Bytes free on the file system, as of the last write or half second.
    pub(crate) fn free_space(&self) -> u64 {
        self.shared.free.load(Ordering::Relaxed)
    }

    /// Bytes free on the file system now.
    pub(crate) fn look_at_free_space(&self) -> u64 {
        match &self.jobs {
            Jobs::Writer(..) => self.shared.look_at_free_space(&self.path),
            #[cfg(feature = "sim")]
            Jobs::Simulated(_) => self.free_space(),
        }
    }

    /// Whether a ballot or an entry has ever been written.
    pub(crate) fn is_pristine(&self) -> bool {
        let tail = self.tail();
        tail.ballot.is_none() && tail.last.is_none()
    }

    /// The end of the log.
    pub(crate) fn last(&self) -> Option<Position> {
        self.tail().last
    }

    pub(crate) async fn set_identity(&self, identity: Identity) -> Result<(), StoreFault> {
        self.write(Write::Identity(identity)).await
    }

    /// The ballot, whether or not its majority is known.
    pub(crate) fn ballot(&self) -> Option<Ballot> {
        self.tail().ballot
    }

    /// Puts the end of the log to where the state is, if that came by a snapshot and goes further.
    pub(crate) async fn reach(&self, applied: Option<Position>) -> Result<(), StoreFault> {
        match applied {
            Some(applied) if self.last() < Some(applied) => {
                self.tail().purge(applied);
                self.write(Write::Purge(applied)).await
            }
            _ => Ok(()),
        }
    }

    /// Takes over, in one transaction. `take_over` must go on from the end of the log.
    pub(crate) async fn take_over(&self, take_over: TakeOver) -> Result<(), StoreFault> {
        self.write(Write::TakeOver(take_over.clone())).await?;
        let mut tail = self.tail();
        tail.ballot = Some(take_over.ballot);
        tail.append(&take_over.records);
        Ok(())
    }

    /// Gives up a write that waits for room on a full disk, and lets none wait from now on.
    pub(crate) fn stop_waiting(&self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        match &self.jobs {
            Jobs::Writer(_, thread) => thread.unpark(),
            #[cfg(feature = "sim")]
            Jobs::Simulated(_) => {}
        }
    }

    /// Writes what is owed, and closes the database. Nothing can be written afterwards.
    pub(crate) async fn close(&self) -> Result<(), StoreFault> {
        let (done, closed) = oneshot::channel();
        self.send(Job::Close(Box::new(|result| drop(done.send(result)))))?;
        closed.await.map_err(|_| self.closed())?
    }

    #[cfg(test)]
    pub(crate) fn execute(&self, sql: &'static str) {
        self.send(Job::Execute(sql)).unwrap();
    }

    async fn write(&self, write: Write) -> Result<(), StoreFault> {
        let (done, written) = oneshot::channel();
        self.send(Job::Write(write, Box::new(|result| drop(done.send(result)))))?;
        written.await.map_err(|_| self.closed())?
    }

    async fn read(&self, range: Range<u64>, bytes: usize) -> Result<Vec<Record>, StoreFault> {
        let cached = self.tail().read(&range, bytes);
        if let Some(records) = cached {
            return Ok(records);
        }
        let (reply, answer) = oneshot::channel();
        self.send(Job::Read(range, bytes, reply))?;
        answer.await.map_err(|_| self.closed())?
    }

    fn send(&self, job: Job) -> Result<(), StoreFault> {
        let sent = match &self.jobs {
            Jobs::Writer(jobs, _) => jobs.send(job).is_ok(),
            #[cfg(feature = "sim")]
            Jobs::Simulated(jobs) => jobs.send(job).is_ok(),
        };
        if sent { Ok(()) } else { Err(self.closed()) }
    }

    fn closed(&self) -> StoreFault {
        StoreFault::new(&self.path, Cause::Closed)
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().expect("no holder of this lock panics")
    }
}

impl<M: Machine> RaftLogReader<Types<M>> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry<Types<M>>>, StorageFault> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        let records = self.read(start..end, usize::MAX).await.map_err(cannot_read)?;
        Ok(records.into_iter().map(Entry::from).collect())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry<Types<M>>>, StorageFault> {
        let records = self.read(start..end, PAYLOAD).await.map_err(cannot_read)?;
        Ok(records.into_iter().map(Entry::from).collect())
    }
}

impl<M: Machine> RaftLogStorage<Types<M>> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types<M>>, StorageFault> {
        let tail = self.tail();
        let (purged, last) = (tail.purged, tail.last);
        Ok(LogState {
            last_purged_log_id: purged.map(LogId::from),
            last_log_id: last.map(LogId::from),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<NodeId>) -> Result<(), StorageFault> {
        let ballot = (*vote).into();
        self.write(Write::Ballot(ballot)).await.map_err(|f| fault(ErrorSubject::Vote, &f))?;
        self.tail().ballot = Some(ballot);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<NodeId>>, StorageFault> {
        Ok(self.tail().ballot.map(Vote::from))
    }

    /// Not waited for: a restart that has not heard of the last commits finds them in the log, and a
    /// new leader commits them again. An fsync for each would halve the rate of writes.
    async fn save_committed(
        &mut self,
        committed: Option<LogId<NodeId>>,
    ) -> Result<(), StorageFault> {
        let Some(committed) = committed.map(Into::into) else {
            return Ok(());
        };
        self.tail().committed = Some(committed);
        self.send(Job::Committed(committed)).map_err(cannot_write)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId<NodeId>>, StorageFault> {
        Ok(self.tail().committed.map(LogId::from))
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<Types<M>>,
    ) -> Result<(), StorageFault>
    where
        I: IntoIterator<Item = Entry<Types<M>>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records: Vec<_> = entries.into_iter().map(Record::from).collect();
        self.tail().append(&records);
        let done = Box::new(|result: Result<(), StoreFault>| {
            callback.log_io_completed(result.map_err(io::Error::other));
        });
        self.send(Job::Write(Write::Append(records), done)).map_err(cannot_write)
    }

    async fn truncate(&mut self, since: LogId<NodeId>) -> Result<(), StorageFault> {
        let last = self.tail().truncate(since.index);
        self.write(Write::Truncate(since.index)).await.map_err(cannot_write)?;
        if let LastAfterTruncate::At(index) = last {
            let kept = self.read(index..index + 1, usize::MAX).await.map_err(cannot_read)?;
            self.tail().last = kept.first().map(|record| record.position);
        }
        Ok(())
    }

    async fn purge(&mut self, upto: LogId<NodeId>) -> Result<(), StorageFault> {
        self.tail().purge(upto.into());
        self.write(Write::Purge(upto.into())).await.map_err(cannot_write)
    }
}

fn cannot_read(cause: StoreFault) -> StorageFault {
    StorageIOError::new(ErrorSubject::Logs, ErrorVerb::Read, AnyError::new(&cause)).into()
}

fn cannot_write(cause: StoreFault) -> StorageFault {
    fault(ErrorSubject::Logs, &cause)
}

fn fault(subject: ErrorSubject<NodeId>, cause: &StoreFault) -> StorageFault {
    StorageIOError::new(subject, ErrorVerb::Write, AnyError::new(cause)).into()
}
