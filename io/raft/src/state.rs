//! The replicated machine as openraft wants it: applies, publishes, freezes.

use std::fs::File as StdFile;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use openraft::storage::RaftStateMachine;
use openraft::{
    AnyError, Entry, EntryPayload, ErrorSubject, ErrorVerb, LogId, OptionalSend,
    RaftSnapshotBuilder, Snapshot, SnapshotMeta, StorageIOError,
};
use tokio::fs::File;
use tokio::sync::{oneshot, watch};
use tracing::{info, warn};
use uuid::Uuid;

use crate::ids::{NodeId, Peer, Position};
use crate::machine::Machine;
use crate::store::{SnapshotFault, SnapshotHeader, Snapshots};
use crate::types::{Outcomes, StorageFault, StoredMembers, Types};

/// How long a snapshot waits for room on a full disk until it is tried again.
const FULL_RETRY: Duration = Duration::from_secs(1);
/// What replaying one command costs beside its bytes, counted in bytes.
const COMMAND_WEIGHT: u64 = 64;

/// What everybody may see of the state.
pub(crate) struct Published<M> {
    machine: ArcSwap<M>,
    applied: watch::Sender<Option<Position>>,
    /// The next index to apply, as of `machine`: what waiters for changes are told.
    changes: watch::Sender<u64>,
    /// Log applied since the last snapshot was begun, in bytes.
    unsaved: AtomicU64,
    /// Set when the engine stops: nobody waits for a snapshot any more.
    pub(crate) closing: AtomicBool,
    members: Mutex<StoredMembers>,
}

impl<M> Published<M> {
    /// The state as of the last applied batch.
    pub(crate) fn latest(&self) -> Arc<M> {
        self.machine.load_full()
    }

    pub(crate) fn applied(&self) -> watch::Receiver<Option<Position>> {
        self.applied.subscribe()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn unsaved(&self) -> u64 {
        self.unsaved.load(Ordering::Relaxed)
    }

    fn publish(&self, machine: M, applied: Option<Position>, members: &StoredMembers) {
        *self.members.lock().expect("no holder of this lock panics") = members.clone();
        // The state first: whoever is told of an index finds it applied.
        self.machine.store(Arc::new(machine));
        self.applied.send_replace(applied);
        self.changes.send_replace(applied.map_or(0, |at| at.index + 1));
    }
}

/// The state machine: one machine, how far it is, and who the members are.
pub(crate) struct State<M> {
    machine: M,
    applied: Option<LogId<NodeId>>,
    members: StoredMembers,
    published: Arc<Published<M>>,
    snapshots: Snapshots,
    /// Dropped with this: then nothing more is published by it.
    _end: oneshot::Sender<()>,
}

/// Resolves when a [`State`] is gone, and with it all that openraft had still to apply.
pub(crate) type StateEnd = oneshot::Receiver<()>;

impl<M: Machine> State<M> {
    /// Begins where the snapshot ends, or with the empty machine.
    pub(crate) fn new(empty: M, restored: Option<M>, snapshots: Snapshots) -> (Self, StateEnd) {
        let (applied, members) = snapshots.header().map(split).unwrap_or_default();
        let machine = restored.unwrap_or(empty);
        let published = Arc::new(Published {
            machine: ArcSwap::from_pointee(machine.clone()),
            applied: watch::Sender::new(applied.map(Position::from)),
            changes: watch::Sender::new(applied.map_or(0, |at| at.index + 1)),
            unsaved: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            members: Mutex::new(members),
        });
        Self::resume(published, snapshots)
    }

    /// Goes on where an earlier one ended.
    pub(crate) fn resume(published: Arc<Published<M>>, snapshots: Snapshots) -> (Self, StateEnd) {
        let (machine, applied) = (M::clone(&published.latest()), *published.applied.borrow());
        let members = published.members.lock().expect("no holder of this lock panics").clone();
        let (_end, ended) = oneshot::channel();
        let applied = applied.map(LogId::from);
        (Self { machine, applied, members, published, snapshots, _end }, ended)
    }

    pub(crate) fn published(&self) -> Arc<Published<M>> {
        self.published.clone()
    }

    fn apply_entry(
        &mut self,
        entry: Entry<Types<M>>,
    ) -> Result<Vec<M::Outcome>, Box<StorageFault>> {
        let at = entry.log_id;
        let unreadable = |cause: &(dyn std::error::Error + 'static)| {
            let cause = AnyError::from_dyn(cause, None);
            Box::new(StorageFault::from(StorageIOError::apply(at, cause)))
        };
        let mut outcomes = Vec::new();
        match entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Membership(members) => {
                self.members = StoredMembers::new(Some(at), members);
            }
            EntryPayload::Normal(batch) => {
                for command in batch.commands() {
                    let bytes = command.map_err(|cut| unreadable(&cut))?;
                    let command = M::decode(&bytes).map_err(|cause| unreadable(&cause))?;
                    outcomes.push(self.machine.apply(command));
                }
                let weight = batch.0.len() as u64 + COMMAND_WEIGHT * outcomes.len() as u64;
                self.published.unsaved.fetch_add(weight, Ordering::Relaxed);
            }
        }
        self.applied = Some(at);
        Ok(outcomes)
    }
}

impl<M: Machine> RaftStateMachine<Types<M>> for State<M> {
    type SnapshotBuilder = Freezer<M>;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<NodeId>>, StoredMembers), StorageFault> {
        Ok((self.applied, self.members.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcomes<M::Outcome>>, StorageFault>
    where
        I: IntoIterator<Item = Entry<Types<M>>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut outcomes = Vec::new();
        for entry in entries {
            let each = self.apply_entry(entry).map_err(|fault| *fault)?;
            outcomes.push(Outcomes { each });
        }
        let applied = self.applied.map(Position::from);
        self.published.publish(self.machine.clone(), applied, &self.members);
        Ok(outcomes)
    }

    async fn get_snapshot_builder(&mut self) -> Freezer<M> {
        self.published.unsaved.store(0, Ordering::Relaxed);
        Freezer {
            machine: self.machine.clone(),
            header: SnapshotHeader {
                last: self.applied.map(Position::from),
                members_at: self.members.log_id().map(Position::from),
                members: self.members.membership().into(),
                id: Uuid::new_v4().to_string(),
            },
            snapshots: self.snapshots.clone(),
            published: self.published.clone(),
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<File>, StorageFault> {
        let file = self.snapshots.receiver().map_err(|f| fault(ErrorVerb::Write, &f))?;
        Ok(Box::new(File::from_std(file)))
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMeta<NodeId, Peer>,
        snapshot: Box<File>,
    ) -> Result<(), StorageFault> {
        let snapshots = self.snapshots.clone();
        let file = snapshot.into_std().await;
        let (header, machine) = self
            .snapshots
            .blocking(move || snapshots.adopt(file))
            .await
            .map_err(|f| fault(ErrorVerb::Write, &f))?;
        (self.applied, self.members) = split(header);
        self.machine = machine;
        self.published.unsaved.store(0, Ordering::Relaxed);
        let applied = self.applied.map(Position::from);
        self.published.publish(self.machine.clone(), applied, &self.members);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types<M>>>, StorageFault> {
        let current = self.snapshots.reader().map_err(|f| fault(ErrorVerb::Read, &f))?;
        Ok(current.map(|(header, file)| snapshot(header, file)))
    }
}

/// Writes one clone of the machine, while the original goes on.
pub(crate) struct Freezer<M> {
    machine: M,
    header: SnapshotHeader,
    snapshots: Snapshots,
    published: Arc<Published<M>>,
}

impl<M: Machine> RaftSnapshotBuilder<Types<M>> for Freezer<M> {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types<M>>, StorageFault> {
        loop {
            let (snapshots, header) = (self.snapshots.clone(), self.header.clone());
            let machine = self.machine.clone();
            let written = self.snapshots.blocking(move || {
                snapshots.save(header, &machine)?;
                snapshots.reader()
            });
            match written.await {
                Ok(Some((header, file))) => {
                    info!(size = self.snapshots.size(), "Snapshot written");
                    return Ok(snapshot(header, file));
                }
                Ok(None) => unreachable!("a snapshot was just kept"),
                // The log goes on without it, only longer. openraft would stop on an error.
                Err(cause)
                    if cause.is_disk_full() && !self.published.closing.load(Ordering::Relaxed) =>
                {
                    warn!(%cause, "No room for a snapshot");
                    tokio::time::sleep(FULL_RETRY).await;
                }
                Err(cause) => return Err(fault(ErrorVerb::Write, &cause)),
            }
        }
    }
}

fn split(header: SnapshotHeader) -> (Option<LogId<NodeId>>, StoredMembers) {
    let members_at = header.members_at.map(LogId::from);
    (header.last.map(LogId::from), StoredMembers::new(members_at, header.members.into()))
}

fn snapshot<M: Machine>(header: SnapshotHeader, file: StdFile) -> Snapshot<Types<M>> {
    let snapshot_id = header.id.clone();
    let (last_log_id, last_membership) = split(header);
    Snapshot {
        meta: SnapshotMeta { last_log_id, last_membership, snapshot_id },
        snapshot: Box::new(File::from_std(file)),
    }
}

fn fault(verb: ErrorVerb, cause: &SnapshotFault) -> StorageFault {
    StorageIOError::new(ErrorSubject::Snapshot(None), verb, AnyError::new(cause)).into()
}
