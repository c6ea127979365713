//! What arrives from other nodes. The transport decodes it and answers with what comes back.

use openraft::error::RaftError;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest as RaftVoteRequest};
use openraft::{Entry, LogId, Snapshot, SnapshotMeta};
use tokio::io::AsyncRead;
use uuid::Uuid;

use crate::error::ReadError;
use crate::ids::{Ballot, Claim, NodeId};
use crate::leadership::Role;
use crate::machine::{DecodeError, Machine};
use crate::raft::Raft;
use crate::store::SnapshotHeader;
use crate::transport::{AppendAnswer, AppendRequest, Hearing, Stamp, VoteAnswer, VoteRequest};
use crate::types::StoredMembers;

/// Why a message from another node was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Of another cluster.
    #[error("this node belongs to cluster {0}")]
    OtherCluster(Uuid),
    /// For another life of this node: its data folder is a new one since.
    #[error("this node is {0}")]
    NotMe(NodeId),
    /// From before or after a forced takeover that the other side has not seen, or has.
    #[error("this node stands on claim {0:?}")]
    OtherClaim(Claim),
    /// It does not lead, or no majority has confirmed in time that it does.
    #[error("no surely right answer can be given here")]
    Read(#[source] ReadError),
    /// Entries of a newer version. None was stored.
    #[error("this node cannot read what it is sent")]
    Unreadable(#[source] DecodeError),
    /// The snapshot did not arrive whole.
    #[error("cannot receive the snapshot")]
    Snapshot(#[source] std::io::Error),
    /// The engine does not run.
    #[error("this node's engine has stopped")]
    Stopped,
}

/// The receiving side, from [`Raft::inbound`].
pub struct Inbound<'r, M: Machine>(pub(crate) &'r Raft<M>);

impl<M: Machine> Inbound<'_, M> {
    /// A leader's entries, or its heartbeat.
    ///
    /// # Errors
    /// The message is not for this node as it is now, or the engine has stopped.
    pub async fn append(
        &self,
        stamp: Stamp,
        request: AppendRequest,
    ) -> Result<AppendAnswer, Refusal> {
        self.check(stamp)?;
        for record in &request.records {
            record.check::<M>().map_err(Refusal::Unreadable)?;
        }
        let rpc = AppendEntriesRequest {
            vote: request.ballot.into(),
            prev_log_id: request.previous.map(LogId::from),
            entries: request.records.into_iter().map(Entry::from).collect(),
            leader_commit: request.committed.map(LogId::from),
        };
        let answer = match self.0.engine().append_entries(rpc).await.map_err(stopped)? {
            AppendEntriesResponse::Success => AppendAnswer::Accepted,
            AppendEntriesResponse::PartialSuccess(at) => {
                AppendAnswer::AcceptedUpTo(at.map(Into::into))
            }
            AppendEntriesResponse::Conflict => AppendAnswer::Conflict,
            AppendEntriesResponse::HigherVote(vote) => AppendAnswer::HigherBallot(vote.into()),
        };
        if !matches!(answer, AppendAnswer::HigherBallot(_)) {
            self.0.ear().heard(stamp.from);
        }
        Ok(answer)
    }

    /// A candidate's question.
    ///
    /// # Errors
    /// As of [`append`](Self::append).
    pub async fn vote(&self, stamp: Stamp, request: VoteRequest) -> Result<VoteAnswer, Refusal> {
        self.check(stamp)?;
        let rpc = RaftVoteRequest::new(request.ballot.into(), request.last.map(LogId::from));
        let answer = self.0.engine().vote(rpc).await.map_err(stopped)?;
        Ok(VoteAnswer {
            ballot: answer.vote.into(),
            granted: answer.vote_granted,
            last: answer.last_log_id.map(Into::into),
        })
    }

    /// A whole snapshot file. Answers this node's ballot.
    ///
    /// # Errors
    /// As of [`append`](Self::append), or it did not arrive whole.
    pub async fn snapshot(
        &self,
        stamp: Stamp,
        ballot: Ballot,
        header: SnapshotHeader,
        mut body: impl AsyncRead + Unpin,
    ) -> Result<Ballot, Refusal> {
        self.check(stamp)?;
        let engine = self.0.engine();
        let file = engine.begin_receiving_snapshot().await.map_err(|_| Refusal::Stopped)?;
        let received = self.0.snapshots().receive(&mut body, *file).await;
        let file = Box::new(received.map_err(Refusal::Snapshot)?);
        let members = StoredMembers::new(header.members_at.map(LogId::from), header.members.into());
        let meta = SnapshotMeta {
            last_log_id: header.last.map(LogId::from),
            last_membership: members,
            snapshot_id: header.id,
        };
        let installed =
            engine.install_full_snapshot(ballot.into(), Snapshot { meta, snapshot: file });
        let answer = installed.await.map_err(|_| Refusal::Stopped)?;
        self.0.ear().heard(stamp.from);
        Ok(answer.vote.into())
    }

    /// The question before a candidacy.
    ///
    /// # Errors
    /// As of [`append`](Self::append).
    pub fn hearing(&self, stamp: Stamp) -> Result<Hearing, Refusal> {
        self.check(stamp)?;
        if self.0.yields() {
            // Whoever asks is the better one, whatever its log and its id.
            return Ok(Hearing { hears_leader: false, last: None });
        }
        let leads = matches!(self.0.leadership().borrow().role, Role::Elected | Role::Serving);
        Ok(Hearing {
            hears_leader: leads || self.0.ear().hears_leader(self.0.timing().lease),
            last: self.0.log().last(),
        })
    }

    /// How much of the log a follower must have applied to read surely right: the next index.
    ///
    /// # Errors
    /// As of [`append`](Self::append), or this node is not surely the leader.
    pub async fn read_index(&self, stamp: Stamp) -> Result<u64, Refusal> {
        self.check(stamp)?;
        self.0.life().reader.index().await.map_err(Refusal::Read)
    }

    fn check(&self, stamp: Stamp) -> Result<(), Refusal> {
        let me = self.0.me();
        if stamp.cluster != me.cluster {
            return Err(Refusal::OtherCluster(me.cluster));
        }
        if stamp.to != me.node() {
            return Err(Refusal::NotMe(me.node()));
        }
        let claim = me.claim();
        if stamp.claim != claim {
            return Err(Refusal::OtherClaim(claim));
        }
        Ok(())
    }
}

fn stopped(_: RaftError<NodeId>) -> Refusal {
    Refusal::Stopped
}
