//! What the ledger holds, and how it changes.

use abide_model::{BrokerId, Fence, SessionId, Timestamp, UserName};
use abide_session::{PassHash, Row};
use abide_ticket::{TokenId, ViewMode};

/// Everything in the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The sessions, by their ids.
    pub sessions: Vec<Row>,
    /// The highest fence that was obeyed.
    pub fence: Fence,
    /// The tickets that were used and could still be shown again.
    pub tickets: Vec<UsedTicket>,
    /// The passes that were given out.
    pub passes: Vec<Pass>,
    /// Who was logged out everywhere.
    pub log_outs: Vec<LogOut>,
    /// How far brokers' clocks are from ours.
    pub clocks: Vec<ClockOffset>,
    /// The brokers and their keys, as the last broker told it: an encoded `ClusterView`. Empty
    /// until then.
    pub cluster: Vec<u8>,
    /// The cluster's configuration.
    pub config: KeptConfig,
}

/// The cluster's configuration, as the last broker told it; each an encoded `ClusterConfig`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptConfig {
    /// The newest; empty until there is one.
    pub told: Vec<u8>,
    /// The newest that could be read here, if that is another.
    pub read: Option<Vec<u8>>,
}

/// A ticket that must not be accepted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedTicket {
    /// The ticket.
    pub jti: TokenId,
    /// When nobody needs to remember it any more, by this host's clock.
    pub forget_at: Timestamp,
}

/// What a ticket was exchanged for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// The SHA-256 of the pass itself, which only its bearer has.
    pub hash: PassHash,
    /// The session it opens.
    pub session: SessionId,
    /// Who it was given to.
    pub user: UserName,
    /// The viewer it was given to, named by the ticket that it came with.
    pub viewer: TokenId,
    /// What that viewer may do.
    pub mode: ViewMode,
    /// The broker-signed token that was handed on with it.
    pub status: String,
    /// When the ticket that it came of was issued, by its broker's clock.
    pub issued_at: Timestamp,
    /// When it was used last, to within a minute, by this host's clock.
    pub last_used: Timestamp,
}

/// Somebody was logged out everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOut {
    /// Who.
    pub user: UserName,
    /// Tickets that were issued until then open nothing, by their brokers' clocks.
    pub before: Timestamp,
}

/// How far a broker's clock is from this host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockOffset {
    /// Whose clock.
    pub broker: BrokerId,
    /// Its time minus ours, milliseconds.
    pub offset_ms: i64,
}

/// One change. Each says how something is from now on, so that repeating it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// A session is as this row says.
    PutSession(Row),
    /// A session is forgotten.
    DeleteSession(SessionId),
    /// This is the highest fence.
    PutFence(Fence),
    /// A ticket was used.
    PutTicket(UsedTicket),
    /// A ticket is too old to be shown again.
    DeleteTicket(TokenId),
    /// A pass is as this says.
    PutPass(Pass),
    /// A pass opens nothing any more.
    DeletePass(PassHash),
    /// A user was logged out everywhere.
    PutLogOut(LogOut),
    /// No ticket from before a user's log-out can be good any more.
    DeleteLogOut(UserName),
    /// A broker's clock was measured.
    PutClock(ClockOffset),
    /// The cluster is as this encoded `ClusterView` says.
    PutCluster(Vec<u8>),
    /// The cluster's configuration is this.
    PutConfig(KeptConfig),
}
