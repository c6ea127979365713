//! What is durable of a session.

use std::sync::Arc;

use abide_model::{
    BootId, EndReason, PoolName, ProfileName, SessionId, Timestamp, UserName, ViewKey,
};

/// A session as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Whose row it is.
    pub session: SessionId,
    /// What a broker signed; `None` if it was cancelled before any start order came, or found
    /// running by an agent that had lost its ledger.
    pub order: Option<Order>,
    /// The boot it was started, or cancelled, in.
    pub boot: BootId,
    /// Its keeper, once it is known.
    pub keeper: Option<KeeperMark>,
    /// Whether some viewer was ever attached.
    pub ever_attached: bool,
    /// Where its life stands.
    pub phase: Phase,
}

/// A start order that was checked when it came, with what the agent needs of it. The check is not
/// repeated: sessions outlive the brokers that started them, and their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The signed text, handed on as it is.
    pub text: Arc<str>,
    /// Whose desktop it is.
    pub user: UserName,
    /// Which kind of desktop.
    pub profile: ProfileName,
    /// Out of which pool it was given, if there were any.
    pub pool: Option<PoolName>,
    /// The unguessable part of its path.
    pub view_key: ViewKey,
}

/// Tells a keeper from any other process that gets the same id later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeeperMark {
    /// The process id.
    pub pid: u32,
    /// When it started, in clock ticks since boot: field 22 of `/proc/PID/stat`.
    pub start_ticks: u64,
}

/// Where a session's life stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is known of this id. Never stored.
    New,
    /// Durable; its keeper is being started.
    Starting,
    /// Its keeper runs.
    Running,
    /// It is to end; its keeper has not gone yet.
    Ending {
        /// Who wants it.
        by: Arc<str>,
    },
    /// It is over.
    Ended {
        /// When.
        at: Timestamp,
        /// Why.
        reason: EndReason,
    },
    /// Never started, and never will be.
    Cancelled,
}

impl Phase {
    /// Whether nothing more can happen to it.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Ended { .. } | Self::Cancelled)
    }
}
