//! A log in memory whose disk can crash: what was not synced by then is gone.
//!
//! Stands in for the [`Writer`](super::writer::Writer) and does the same jobs, in simulated time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use uuid::Uuid;

use super::Store;
use super::log::LogStore;
use super::schema::{Identity, OpenError};
use super::snapshot::{Snapshots, Work};
use super::writer::{Cause, Done, Job, Marks, StoreFault, TakeOver, Write};
use crate::batch::Batch;
use crate::ids::{Claim, NodeId, Position};
use crate::machine::Machine;
use crate::record::{Body, Record};

/// How long the next sync takes.
pub type Pace = Arc<dyn Fn() -> Duration + Send + Sync>;

/// What survives a crash of one node. Clones are the same disk.
#[derive(Clone)]
pub struct Disk(Arc<Mutex<Platter>>);

struct Platter {
    identity: Identity,
    marks: Marks,
    log: BTreeMap<u64, Record>,
    /// Whose writes are taken: those of the last to open the disk, until it crashes.
    life: u64,
}

impl Disk {
    /// The empty disk of a new node.
    pub fn new(cluster: Uuid, node: NodeId) -> Self {
        Self(Arc::new(Mutex::new(Platter {
            identity: Identity { cluster, node, claim: Claim::default() },
            marks: Marks::default(),
            log: BTreeMap::new(),
            life: 0,
        })))
    }

    /// The power goes: nothing that is not synced will be.
    pub fn crash(&self) {
        self.platter().life += 1;
    }

    /// Opens the disk, with a folder for the snapshot, as a process does after an earlier one has gone.
    pub(crate) fn open<M: Machine>(
        &self,
        folder: &Path,
        pace: Pace,
    ) -> Result<Store<M>, OpenError> {
        let (snapshots, machine) = Snapshots::open(folder, Work::AtOnce)?;
        let mut platter = self.platter();
        platter.life += 1;
        let (jobs, queue) = unbounded_channel();
        let log = LogStore::simulated(jobs, platter.marks);
        tokio::spawn(serve(self.clone(), platter.life, queue, pace));
        Ok(Store { identity: platter.identity, log, snapshots, machine })
    }

    /// What it holds, with the snapshot in `folder`, while nobody runs on it: as
    /// [`read_folder`](super::read_folder) of a real one.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn state<M: Machine>(&self, empty: M, folder: &Path) -> Result<M, OpenError> {
        let (snapshots, machine) = Snapshots::open::<M>(folder, Work::AtOnce)?;
        let mut machine = machine.unwrap_or(empty);
        let covered = snapshots.header().and_then(|header| header.last);
        let since = covered.map_or(0, |last| last.index + 1);
        let damaged = |cause: String| OpenError::damaged(folder, cause);
        for record in self.platter().log.range(since..).map(|(_, record)| record) {
            let Body::Commands(bytes) = &record.body else { continue };
            for command in Batch(bytes.clone()).commands() {
                let command = command.map_err(|cause| damaged(cause.to_string()))?;
                machine.apply(M::decode(&command).map_err(|cause| damaged(cause.to_string()))?);
            }
        }
        Ok(machine)
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

async fn serve(disk: Disk, life: u64, mut jobs: UnboundedReceiver<Job>, pace: Pace) {
    let mut committed = None;
    let mut next = None;
    loop {
        let job = match next.take() {
            Some(job) => Some(job),
            None => jobs.recv().await,
        };
        match job {
            None => return,
            Some(Job::Write(write, done)) => {
                let mut group = vec![(write, done)];
                // What waits already shares the sync, as on a real disk.
                while let Ok(job) = jobs.try_recv() {
                    match job {
                        Job::Write(write, done) => group.push((write, done)),
                        Job::Committed(at) => committed = Some(at),
                        other => {
                            next = Some(other);
                            break;
                        }
                    }
                }
                tokio::time::sleep(pace()).await;
                disk.sync(life, group, committed);
            }
            Some(Job::Committed(at)) => committed = Some(at),
            Some(Job::Read(range, bytes, reply)) => {
                // Its reader may have gone; there is nobody else to tell.
                let _ = reply.send(Ok(disk.read(range, bytes)));
            }
            Some(Job::Close(done)) => {
                disk.sync(life, Vec::new(), committed);
                return done(Ok(()));
            }
            #[cfg(test)]
            Some(Job::Execute(_)) => {}
        }
    }
}

impl Disk {
    fn sync(&self, life: u64, group: Vec<(Write, Done)>, committed: Option<Position>) {
        let mut platter = self.platter();
        let (writes, dones): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let result = if platter.life == life {
            writes.into_iter().for_each(|write| platter.take(write));
            platter.marks.committed = platter.marks.committed.max(committed);
            Ok(())
        } else {
            Err(StoreFault::new(Path::new("simulated"), Cause::Closed))
        };
        drop(platter);
        dones.into_iter().for_each(|done| done(result.clone()));
    }

    fn read(&self, range: Range<u64>, bytes: usize) -> Vec<Record> {
        let platter = self.platter();
        let mut total = 0;
        let within = |(n, record): &(usize, &Record)| {
            if let Body::Commands(body) = &record.body {
                total += body.len();
            }
            *n == 0 || total <= bytes
        };
        let records = platter.log.range(range).map(|(_, record)| record).enumerate();
        records.take_while(within).map(|(_, record)| record.clone()).collect()
    }
}

impl Platter {
    fn take(&mut self, write: Write) {
        match write {
            Write::Append(records) => {
                self.log.extend(records.into_iter().map(|record| (record.position.index, record)));
            }
            Write::Ballot(ballot) => self.marks.ballot = Some(ballot),
            Write::Truncate(since) => drop(self.log.split_off(&since)),
            Write::Purge(upto) => {
                self.log = self.log.split_off(&(upto.index + 1));
                self.marks.purged = Some(upto);
            }
            Write::Identity(identity) => self.identity = identity,
            Write::TakeOver(TakeOver { identity, ballot, records }) => {
                self.identity = identity;
                self.marks.ballot = Some(ballot);
                self.take(Write::Append(records));
            }
        }
        let end = self.log.last_key_value().map(|(_, record)| record.position);
        self.marks.last = end.or(self.marks.purged);
    }
}
