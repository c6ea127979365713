//! Who belongs to the group: taking nodes in, letting them go. On the leader alone.
//!
//! ```text
//! unknown ── add_learner ──▶ learner ── caught up ──▶ voter ── set_voters without it ──▶ gone
//! ```
//! One change at a time. A new voter is a learner first and has the whole log by then, so that adding one
//! never leaves the group waiting for it.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::error::{ChangeMembershipError, ClientWriteError, RaftError};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::info;

use crate::error::MembersError;
use crate::ids::{NodeId, Peer};
use crate::machine::Machine;
use crate::raft::Raft;

/// For one change to be committed. A joint change is two entries.
const COMMIT_WITHIN: Duration = Duration::from_secs(10);

impl<M: Machine> Raft<M> {
    /// Takes a node in as a learner: it is sent the log and has no vote. Returns when that is committed,
    /// not when the node has caught up. A node that belongs already is left as it is.
    ///
    /// # Errors
    /// [`MembersError`].
    pub async fn add_learner(&self, node: NodeId, peer: Peer) -> Result<(), MembersError> {
        if self.status().members.nodes.contains_key(&node) {
            return Ok(());
        }
        info!(%node, name = peer.name, address = peer.address, "Taking a learner in");
        within(self.engine().add_learner(node, peer, false)).await
    }

    /// Waits until a member has all that was in the leader's log when this was called.
    ///
    /// # Errors
    /// [`MembersError::Behind`] after `deadline`; [`MembersError::NotLeader`].
    pub async fn caught_up(&self, node: NodeId, deadline: Duration) -> Result<(), MembersError> {
        let deadline = Instant::now() + deadline;
        let mut metrics = self.engine().metrics();
        let goal = metrics.borrow().last_log_index;
        let there = metrics.wait_for(|now| match &now.replication {
            // Not leading any more: said below.
            None => true,
            Some(matched) => {
                let at = matched.get(&node).copied().flatten().map(|at| at.index);
                at >= goal
            }
        });
        match timeout_at(deadline, there).await {
            Err(_) => Err(MembersError::Behind(node)),
            Ok(Ok(now)) if now.replication.is_some() => Ok(()),
            Ok(_) => Err(MembersError::NotLeader),
        }
    }

    /// Makes these the voters, in one change; whoever was a voter and is none of them leaves the group.
    /// New ones must be learners.
    ///
    /// # Errors
    /// [`MembersError`].
    pub async fn set_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), MembersError> {
        let now = self.status().members;
        if now.voters == [voters.clone()] {
            return Ok(());
        }
        info!(?voters, "Changing the voters");
        within(self.engine().change_membership(voters, false)).await
    }

    /// Lets learners go.
    ///
    /// # Errors
    /// [`MembersError`]; one of them is a voter.
    pub async fn drop_learners(&self, nodes: BTreeSet<NodeId>) -> Result<(), MembersError> {
        let change = openraft::ChangeMembers::RemoveNodes(nodes);
        within(self.engine().change_membership(change, false)).await
    }
}

async fn within<T>(
    change: impl Future<Output = Result<T, RaftError<NodeId, ClientWriteError<NodeId, Peer>>>>,
) -> Result<(), MembersError> {
    match timeout(COMMIT_WITHIN, change).await {
        Err(_) => Err(MembersError::Unknown),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(RaftError::Fatal(_))) => Err(MembersError::NotLeader),
        Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => {
            Err(MembersError::NotLeader)
        }
        Ok(Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(cause)))) => {
            Err(match cause {
                ChangeMembershipError::InProgress(_) => MembersError::UnderWay,
                other => MembersError::Impossible(other.to_string()),
            })
        }
    }
}
