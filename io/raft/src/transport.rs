//! The border to the other nodes: what is asked of them, and who carries it.
//!
//! The engine calls a [`Transport`] for what it sends; what arrives is given to
//! [`Raft::inbound`](crate::Raft::inbound). The messages are plain data; how they are encoded is the
//! transport's affair.

use std::time::Duration;

use async_trait::async_trait;
use tokio::fs::File;
use uuid::Uuid;

use crate::ids::{Ballot, Claim, NodeId, Position};
use crate::record::Record;
use crate::store::SnapshotHeader;

/// What every message carries, so that none is taken that was meant for another life of a node, or
/// comes from before a forced takeover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The cluster of the sender.
    pub cluster: Uuid,
    /// The takeover the sender stands on.
    pub claim: Claim,
    /// The sender.
    pub from: NodeId,
    /// The receiver, as the sender knows it.
    pub to: NodeId,
}

/// A leader's entries, or its heartbeat when there are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendRequest {
    /// The leader's own.
    pub ballot: Ballot,
    /// The entry before the first of these.
    pub previous: Option<Position>,
    /// At most about 2 MiB.
    pub records: Vec<Record>,
    /// How far the leader knows the log to be committed.
    pub committed: Option<Position>,
}

/// What a follower made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendAnswer {
    /// All of it is on its disk.
    Accepted,
    /// It is on its disk up to here.
    AcceptedUpTo(Option<Position>),
    /// `previous` is not in its log.
    Conflict,
    /// It obeys a later leader.
    HigherBallot(Ballot),
}

/// A candidate's question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoteRequest {
    /// The candidate's.
    pub ballot: Ballot,
    /// The end of the candidate's log.
    pub last: Option<Position>,
}

/// A voter's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoteAnswer {
    /// The voter's ballot after the question.
    pub ballot: Ballot,
    /// Whether it gave its vote.
    pub granted: bool,
    /// The end of the voter's log.
    pub last: Option<Position>,
}

/// What a node says before anybody stands for election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hearing {
    /// It has heard a leader within the lease, or is one.
    pub hears_leader: bool,
    /// The end of its log.
    pub last: Option<Position>,
}

/// Why a node could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The transport has no such peer.
    #[error("no peer {0} is known")]
    UnknownPeer(NodeId),
    /// The peer did not answer in time, or refused.
    #[error("peer {peer} cannot be reached")]
    Unreachable {
        /// Which.
        peer: NodeId,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Carries messages to other nodes. Each call ends within its deadline, by itself or by being dropped.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Entries or a heartbeat.
    async fn append(
        &self,
        stamp: Stamp,
        address: &str,
        request: AppendRequest,
        deadline: Duration,
    ) -> Result<AppendAnswer, TransportError>;

    /// A candidate's question.
    async fn vote(
        &self,
        stamp: Stamp,
        address: &str,
        request: VoteRequest,
        deadline: Duration,
    ) -> Result<VoteAnswer, TransportError>;

    /// A whole snapshot file, from its beginning, on a channel of its own so that it delays no
    /// heartbeat. Answers the receiver's ballot.
    async fn snapshot(
        &self,
        stamp: Stamp,
        address: &str,
        ballot: Ballot,
        header: SnapshotHeader,
        file: File,
    ) -> Result<Ballot, TransportError>;

    /// The question before a candidacy.
    async fn hearing(
        &self,
        stamp: Stamp,
        address: &str,
        deadline: Duration,
    ) -> Result<Hearing, TransportError>;

    /// A follower's question to the leader, for a read that is surely right: how much of the log
    /// (the next index) it must have applied before it answers.
    async fn read_index(
        &self,
        stamp: Stamp,
        address: &str,
        deadline: Duration,
    ) -> Result<u64, TransportError>;
}

/// The transport of a node that is alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPeers;

#[async_trait]
impl Transport for NoPeers {
    async fn append(
        &self,
        stamp: Stamp,
        _: &str,
        _: AppendRequest,
        _: Duration,
    ) -> Result<AppendAnswer, TransportError> {
        Err(TransportError::UnknownPeer(stamp.to))
    }

    async fn vote(
        &self,
        stamp: Stamp,
        _: &str,
        _: VoteRequest,
        _: Duration,
    ) -> Result<VoteAnswer, TransportError> {
        Err(TransportError::UnknownPeer(stamp.to))
    }

    async fn snapshot(
        &self,
        stamp: Stamp,
        _: &str,
        _: Ballot,
        _: SnapshotHeader,
        _: File,
    ) -> Result<Ballot, TransportError> {
        Err(TransportError::UnknownPeer(stamp.to))
    }

    async fn hearing(&self, stamp: Stamp, _: &str, _: Duration) -> Result<Hearing, TransportError> {
        Err(TransportError::UnknownPeer(stamp.to))
    }

    async fn read_index(&self, stamp: Stamp, _: &str, _: Duration) -> Result<u64, TransportError> {
        Err(TransportError::UnknownPeer(stamp.to))
    }
}
