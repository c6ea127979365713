//! How openraft is told about our types, and the way there and back.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;

use openraft::{
    CommittedLeaderId, Entry, EntryPayload, LogId, Membership, RaftTypeConfig, TokioRuntime, Vote,
};
use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::ids::{Ballot, Members, NodeId, Peer, Position};
use crate::machine::Machine;
use crate::record::{Body, Record};

/// The type configuration for one machine. Never made: it only carries types.
pub(crate) struct Types<M>(PhantomData<fn() -> M>);

impl<M: Machine> RaftTypeConfig for Types<M> {
    type D = Batch;
    type R = Outcomes<M::Outcome>;
    type NodeId = NodeId;
    type Node = Peer;
    type Entry = Entry<Self>;
    type SnapshotData = tokio::fs::File;
    type AsyncRuntime = TokioRuntime;
    type Responder = openraft::impls::OneshotResponder<Self>;
}

/// What became of each command of a batch, in its order.
///
/// openraft wants responses that could travel; these never leave the process, so nothing of them is
/// written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct Outcomes<O> {
    #[serde(skip)]
    pub(crate) each: Vec<O>,
}

pub(crate) type RaftOf<M> = openraft::Raft<Types<M>>;
pub(crate) type StorageFault = openraft::StorageError<NodeId>;
pub(crate) type StoredMembers = openraft::StoredMembership<NodeId, Peer>;

impl From<LogId<NodeId>> for Position {
    fn from(id: LogId<NodeId>) -> Self {
        Self { term: id.leader_id.term, leader: id.leader_id.node_id, index: id.index }
    }
}

impl From<Position> for LogId<NodeId> {
    fn from(at: Position) -> Self {
        Self::new(CommittedLeaderId::new(at.term, at.leader), at.index)
    }
}

impl From<Vote<NodeId>> for Ballot {
    fn from(vote: Vote<NodeId>) -> Self {
        let leader = vote.leader_id();
        Self { term: leader.term, node: leader.node_id, committed: vote.is_committed() }
    }
}

impl From<Ballot> for Vote<NodeId> {
    fn from(ballot: Ballot) -> Self {
        if ballot.committed {
            Self::new_committed(ballot.term, ballot.node)
        } else {
            Self::new(ballot.term, ballot.node)
        }
    }
}

impl From<&Membership<NodeId, Peer>> for Members {
    fn from(membership: &Membership<NodeId, Peer>) -> Self {
        Self {
            voters: membership.get_joint_config().clone(),
            nodes: membership.nodes().map(|(id, peer)| (*id, peer.clone())).collect(),
        }
    }
}

impl From<Members> for Membership<NodeId, Peer> {
    fn from(members: Members) -> Self {
        Self::new(members.voters, members.nodes)
    }
}

impl<M: Machine> From<Entry<Types<M>>> for Record {
    fn from(entry: Entry<Types<M>>) -> Self {
        let body = match entry.payload {
            EntryPayload::Blank => Body::Blank,
            EntryPayload::Normal(Batch(bytes)) => Body::Commands(bytes),
            EntryPayload::Membership(membership) => Body::Members((&membership).into()),
        };
        Self { position: entry.log_id.into(), body }
    }
}

impl<M: Machine> From<Record> for Entry<Types<M>> {
    fn from(record: Record) -> Self {
        let payload = match record.body {
            Body::Blank => EntryPayload::Blank,
            Body::Commands(bytes) => EntryPayload::Normal(Batch(bytes)),
            Body::Members(members) => EntryPayload::Membership(members.into()),
        };
        Self { log_id: record.position.into(), payload }
    }
}

// openraft asks these of the configuration itself. Deriving them would ask them of `M` too.

impl<M> fmt::Debug for Types<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Types")
    }
}

impl<M> Clone for Types<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Types<M> {}

impl<M> Default for Types<M> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<M> PartialEq for Types<M> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<M> Eq for Types<M> {}

impl<M> PartialOrd for Types<M> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<M> Ord for Types<M> {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}
