//! What the engine's parts are called. Nothing here names the library underneath: these types are
//! what is stored, sent and shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One life of one data folder in the consensus group.
///
/// Made from chance when a folder is created and never given again: a voter that lost its disk and
/// came back under its old id would be believed to still hold what it had acknowledged. 53 bits, so
/// that it survives JSON readers that know only doubles.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NodeId(pub u64);

impl NodeId {
    const BITS: u32 = 53;

    /// A new id. Never 0, which stands for "nobody" as a claimant.
    pub(crate) fn random() -> Self {
        let chance = Uuid::new_v4().as_u64_pair().1 >> (u64::BITS - Self::BITS - 2);
        Self((chance & ((1 << Self::BITS) - 1)).max(1))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u64> for NodeId {
    fn from(id: u64) -> Self {
        Self(id)
    }
}

/// A member of the group: which server it is, and where to reach it. The engine only passes both on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// What the [`Transport`](crate::Transport) dials.
    pub address: String,
    /// The server's name, the same over all lives of its data folder. Two members of one name are an
    /// earlier and a later life.
    #[serde(default)]
    pub name: String,
}

/// A place in the log: which leader wrote it, and its index. Ordered as Raft compares logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The term of the leader who wrote the entry.
    pub term: u64,
    /// That leader.
    pub leader: NodeId,
    /// Consecutive, from 0.
    pub index: u64,
}

/// Whom a node voted for, and whether a majority did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ballot {
    /// Raft's term.
    pub term: u64,
    /// The candidate.
    pub node: NodeId,
    /// A majority is known to have granted it.
    pub committed: bool,
}

/// Who belongs to the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// The voters; two sets while one set replaces another.
    pub voters: Vec<BTreeSet<NodeId>>,
    /// Every member, learners included.
    pub nodes: BTreeMap<NodeId, Peer>,
}

/// Counts forced takeovers, and says who forced the last one. Ordered: the higher one rules.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Claim {
    /// How many times a node was made leader without a majority. 0 where that never happened.
    pub generation: u64,
    /// The node that did it last; 0 where that never happened.
    pub claimant: NodeId,
}

/// What a leader puts into every command to the outside, so that a deposed one is refused.
///
/// Compared in the order of its fields. Two leaders of one term are possible, hence `leader`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CommandFence {
    /// The forced takeover this leader stands on.
    pub claim: Claim,
    /// Raft's term.
    pub term: u64,
    /// The leader itself.
    pub leader: NodeId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ids_are_never_zero_fit_a_double_and_differ() {
        let ids: BTreeSet<_> = (0..1000).map(|_| NodeId::random()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.0 > 0 && id.0 < 1 << NodeId::BITS));
    }
}
