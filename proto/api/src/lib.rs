//! What brokers and agents say over HTTP: the JSON of `/api/v1`.
//!
//! Frozen by its version: a field may be added, none changes its meaning or goes. Times are
//! RFC 3339 in UTC with milliseconds; ids are text; what is unknown or does not apply is `null`.
#![forbid(unsafe_code)]

mod audit;
mod cluster;
mod config;
mod drain;
mod history;
mod login;
mod note;
mod placement;
mod problem;
mod recovery;
mod session;
mod time;

pub use audit::{AuditPage, AuditQuery, AuditRecord};
pub use cluster::{
    Agent, AgentLoad, Agents, Broker, BrokerRole, BrokerTiming, Cluster, JoinRole, JoinToken,
    JoinTokenRequest, Profile, Profiles,
};
pub use config::{
    Config, ConfigCheck, ConfigCheckRequest, ConfigHistory, ConfigRequest, ConfigSummary,
};
pub use drain::{AtDeadline, Drain, DrainCheck, DrainReply, DrainRequest};
pub use history::{AgentHistory, AgentSample, HistoryQuery};
pub use login::{
    Account, AnswerRequest, LoginReply, LoginRequest, LogoutRequest, Message, MessageStyle, Prompt,
    PromptStyle,
};
pub use note::Note;
pub use placement::{Placement, PlacementAgent};
pub use problem::{Problem, ProblemKind};
pub use recovery::{ConfirmRequest, Confirmed, ExpectRequest, Recovery, RecoveryAgent};
pub use session::{
    Connect, RedeemRequest, Redeemed, Session, SessionCounts, SessionReply, SessionState,
    SessionStatus, Sessions, SessionsQuery, StartRequest, UnreachableProblem, ViewMode,
    ViewerSession, ViewerState, Want,
};
pub use time::Time;

/// The media type of a [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The header that makes a repeated start known as a repeat.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// WebSocket close code: another viewer took over; wait for the person.
pub const CLOSE_TAKEN_OVER: u16 = 4001;
/// WebSocket close code: the session has ended.
pub const CLOSE_ENDED: u16 = 4002;
/// WebSocket close code: the pass is not good, or no longer.
pub const CLOSE_PASS_REFUSED: u16 = 4003;
