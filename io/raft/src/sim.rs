//! What a simulation needs of the engine besides what everybody uses: a [`Disk`] in memory, and an end
//! without a farewell.

use std::collections::BTreeMap;

use crate::error::StartError;
use crate::ids::{NodeId, Peer};
use crate::machine::Machine;
use crate::raft::{Raft, Start};
use crate::store::{Disk, Pace};

impl<M: Machine> Raft<M> {
    /// As [`start`](Self::start), but with the log on `disk`; the folder holds the snapshot only. Uses
    /// no thread besides the caller's.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
    pub async fn start_simulated(
        empty: M,
        start: Start,
        disk: &Disk,
        pace: Pace,
    ) -> Result<Self, StartError> {
        let store = disk.open(&start.folder, pace)?;
        Self::start_on(store, empty, start).await
    }

    /// Makes a group of nodes that are all new.
    ///
    /// # Errors
    /// This one is not.
    pub async fn form_simulated(&self, members: BTreeMap<NodeId, Peer>) -> Result<(), StartError> {
        self.form(members).await
    }

    /// Puts nothing into the folder from now on, as a process that was killed. Its tasks end by
    /// themselves, since its disk takes nothing any more either.
    pub fn crash(&self, disk: &Disk) {
        disk.crash();
        self.snapshots().close();
    }
}
