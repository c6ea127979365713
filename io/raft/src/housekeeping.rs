//! When to write a snapshot, and how much log to keep behind it.
//!
//! The log is kept back to the snapshot before the last: a follower that missed less than that is
//! brought up to date entry by entry, and a longer absence costs a snapshot.

use std::sync::Arc;

use tracing::debug;

use crate::error::ReadError;
use crate::ids::Position;
use crate::machine::Machine;
use crate::raft::Raft;
use crate::read::stopped;
use crate::settings::{Reserve, SnapshotEvery};
use crate::state::Published;
use crate::store::{LogStore, Snapshots};
use crate::types::RaftOf;

/// The task that decides.
pub(crate) struct Housekeeping<M: Machine> {
    pub(crate) raft: RaftOf<M>,
    pub(crate) log: LogStore,
    pub(crate) published: Arc<Published<M>>,
    pub(crate) snapshots: Snapshots,
    pub(crate) every: SnapshotEvery,
    pub(crate) reserve: Reserve,
}

impl<M: Machine> Housekeeping<M> {
    /// Runs until the engine stops.
    pub(crate) async fn run(self) {
        let mut changes = self.published.changes();
        let mut written = self.snapshots.header().and_then(|header| header.last);
        loop {
            if self.published.unsaved() >= self.bound()
                && self.has_room()
                && self.raft.trigger().snapshot().await.is_err()
            {
                return;
            }
            let now = self.snapshots.header().and_then(|header| header.last);
            let before = std::mem::replace(&mut written, now);
            if let Some(before) = before.filter(|_| now > before) {
                debug!(upto = before.index, "Emptying the log up to the snapshot before");
                if self.raft.trigger().purge_log(before.index).await.is_err() {
                    return;
                }
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn bound(&self) -> u64 {
        (self.snapshots.size() / 2).clamp(self.every.least, self.every.most)
    }

    /// The new snapshot and the old one stand side by side for a while.
    fn has_room(&self) -> bool {
        self.log.free_space() > self.reserve.essential + self.snapshots.size() * 2
    }
}

impl<M: Machine> Raft<M> {
    /// Writes a snapshot now, and returns when one stands in the folder that holds everything applied
    /// before this call.
    ///
    /// # Errors
    /// The engine has stopped.
    pub async fn save(&self) -> Result<(), ReadError> {
        let ended = || stopped(self.standing());
        let goal = *self.published().applied().borrow();
        let mut metrics = self.engine().metrics();
        loop {
            let before = metrics.borrow_and_update().snapshot;
            if before.map(Position::from) >= goal {
                return Ok(());
            }
            // Does nothing while one is being written, which may be an older one.
            self.engine().trigger().snapshot().await.map_err(|_| ended())?;
            metrics.wait_for(|now| now.snapshot > before).await.map_err(|_| ended())?;
        }
    }
}
