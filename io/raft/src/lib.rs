//! The consensus engine: one replicated [`Machine`], durable on every voter's disk.
//!
//! Owns the data folder (log, ballot, identity, snapshot) and decides who leads. Knows nothing of what
//! is replicated, and opens no connection: the [`Transport`] does. Nothing outside this crate names the
//! library underneath.
//!
//! ```text
//!  propose ─▶ batcher ─▶ openraft ─▶ log (SQLite, one thread) ─▶ fsync
//!                           │  ▲
//!                           ▼  └────▶ Transport ◀─▶ other nodes ─▶ Inbound
//!                        Machine ─▶ latest(), changes()
//!                           │
//!                           └─▶ snapshot file
//!  read ─▶ one ReadIndex for all who wait ─▶ latest()
//! ```
//!
//! What [`Raft::propose`] has acknowledged is on the disks of a majority. A failure to write stops the
//! engine, and [`Raft::failed`] says so; a full disk does not, it refuses changes until there is room.

mod batch;
mod batcher;
mod election;
mod error;
mod housekeeping;
mod ids;
mod inbound;
mod leadership;
mod life;
mod lives;
mod machine;
mod me;
mod members;
mod meters;
mod network;
mod raft;
mod read;
mod record;
mod settings;
#[cfg(feature = "sim")]
mod sim;
mod state;
mod store;
mod takeover;
mod transport;
mod types;
mod yielding;

pub use error::{
    AdoptError, Fault, MembersError, ProposeError, ReadError, StartError, StopError, TakeOverError,
};
pub use ids::{Ballot, Claim, CommandFence, Members, NodeId, Peer, Position};
pub use inbound::{Inbound, Refusal};
pub use leadership::{Leadership, Role};
pub use machine::{DecodeError, EncodeError, Machine, RestoreError};
pub use meters::{Meters, Spread};
pub use raft::{Formation, Raft, Start, Status};
pub use record::{Body, Record};
pub use settings::{Reserve, Settings, SnapshotEvery, Timing};
#[cfg(feature = "sim")]
pub use store::{Disk, Pace};
pub use store::{OpenError, SnapshotFault, SnapshotHeader, StoreFault, read_folder};
pub use transport::{
    AppendAnswer, AppendRequest, Hearing, NoPeers, Stamp, Transport, TransportError, VoteAnswer,
    VoteRequest,
};

#[cfg(test)]
mod tests;
