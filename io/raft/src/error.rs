//! Why the engine refuses or has stopped.

use crate::ids::{NodeId, Peer};
use crate::machine::EncodeError;
use crate::store::{OpenError, StoreFault};

/// Why the engine stopped by itself. Nothing it acknowledged is lost; nothing more is written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    /// The database failed: what is on the disk is unknown from here on.
    #[error(
        "the log cannot be written any more; free or replace the disk, then start the broker again"
    )]
    Store(#[source] StoreFault),
    /// A snapshot, or a logged command, cannot be written or read.
    #[error("the stored state cannot be used: {0}")]
    Storage(String),
    /// A bug.
    #[error("the consensus engine ended unexpectedly")]
    Panicked,
}

/// Why a command has no outcome.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProposeError {
    /// Another node leads, or none does. Not written here; should this node have been deposed meanwhile,
    /// the command may still be committed by its successor.
    #[error("this node is not the leader")]
    NotLeader {
        /// Who is, as far as known.
        leader: Option<(NodeId, Peer)>,
    },
    /// Too many commands are waiting. Not written.
    #[error("too many changes are waiting")]
    Busy,
    /// It was not known in time whether the command is committed. It may still be; proposing it again
    /// is right, because a command applied twice changes nothing the second time.
    #[error("no majority has confirmed the change in time; it may still take effect")]
    Unknown,
    /// Not written.
    #[error("the disk is almost full: {free} bytes are free, {needed} are kept in reserve")]
    DiskFull {
        /// Bytes.
        free: u64,
        /// Bytes.
        needed: u64,
    },
    /// Not written.
    #[error("a change of {size} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Bytes.
        size: usize,
        /// Bytes.
        limit: usize,
    },
    /// Some of the group could not read it yet. Not written.
    #[error(transparent)]
    Unspoken(#[from] EncodeError),
    /// The engine stops in order. Not written.
    #[error("this node is stopping")]
    Stopping,
    /// The engine has stopped by itself.
    #[error("this node's consensus engine has failed")]
    Failed(#[source] Fault),
}

/// Why there is no answer that is surely right.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// Another node leads, or none does.
    #[error("this node is not the leader")]
    NotLeader {
        /// Who is, as far as known.
        leader: Option<(NodeId, Peer)>,
    },
    /// No majority has confirmed this leader in time.
    #[error("no majority has confirmed this leader in time")]
    NoQuorum,
    /// The engine stops in order.
    #[error("this node is stopping")]
    Stopping,
    /// The engine has stopped by itself.
    #[error("this node's consensus engine has failed")]
    Failed(#[source] Fault),
}

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log's last entries cannot be applied, or the settings contradict each other.
    #[error("cannot start the consensus engine: {0}")]
    Engine(String),
}

/// Why the engine did not stop in order. It has stopped all the same.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The database could not be closed: a restart replays more.
    #[error("cannot close the log")]
    Store(#[from] StoreFault),
}

/// Why the members were not changed. Nothing is half changed: a change that was begun is finished by
/// whoever leads next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MembersError {
    /// Another node leads, or none does.
    #[error("this node is not the leader")]
    NotLeader,
    /// An earlier change is not finished yet.
    #[error("another change of the members is under way")]
    UnderWay,
    /// The new member does not catch up.
    #[error("node {0} has not caught up in time")]
    Behind(NodeId),
    /// What is asked for makes no group.
    #[error("the change is not possible: {0}")]
    Impossible(String),
    /// No majority has confirmed it in time. It may still take effect.
    #[error("no majority has confirmed the change in time; it may still take effect")]
    Unknown,
}

/// Why there was no forced takeover.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    /// Its first change could not be read by some of the group yet. Nothing was changed.
    #[error(transparent)]
    Unspoken(#[from] EncodeError),
    /// The engine does not run.
    #[error("this node's engine has stopped")]
    Stopped,
    /// It stands on a claim that is no lower.
    #[error("this node stands on no lower claim")]
    NotHigher,
    /// It cannot be made durable; the engine has stopped.
    #[error("the takeover cannot be written; the broker has to be started again")]
    Failed(#[source] Fault),
}

/// Why another claim was not taken on.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// What this node has was written under another claim.
    #[error("this node's data stand on another claim")]
    NotPristine,
    /// It cannot be made durable.
    #[error("cannot write the claim")]
    Store(#[from] StoreFault),
}
