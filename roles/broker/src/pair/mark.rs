//! One life of one data folder, in one generation: what a mark was put on does not hold for another.

use abide_pair::Claim;
use abide_raft::Raft;
use abide_wire::peer::Greeting;
use serde::{Deserialize, Serialize};

use crate::replica::Replica;

/// Which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) generation: u64,
    pub(crate) claimant: u64,
    pub(crate) node: u64,
}

impl Mark {
    /// This one.
    pub(crate) fn here(raft: &Raft<Replica>) -> Self {
        let claim = raft.claim();
        let (generation, claimant) = (claim.generation, claim.claimant.0);
        Self { generation, claimant, node: raft.node().0 }
    }

    /// The one that begins a claim.
    pub(crate) fn beginning(claim: Claim) -> Self {
        let Claim { generation, claimant } = claim;
        Self { generation, claimant, node: claimant }
    }

    /// The claim that it stands on.
    pub(crate) fn claim(self) -> Claim {
        Claim { generation: self.generation, claimant: self.claimant }
    }

    /// The other one.
    pub(crate) fn of(it: &Greeting) -> Self {
        Self { generation: it.generation, claimant: it.claimant, node: it.node }
    }
}
