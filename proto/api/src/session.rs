//! Sessions: seeing, starting, finding and ending them; redeeming tickets.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{Problem, Time};

/// One session as the cluster knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// UUID.
    pub id: String,
    /// The canonical user name.
    pub user: String,
    /// The agent's id.
    pub agent: String,
    /// The agent's name, for people.
    pub agent_name: String,
    /// The profile's name.
    pub profile: String,
    /// The pool that it was given out of; absent if there were none.
    #[serde(default)]
    pub pool: Option<String>,
    /// Where its life stands.
    pub state: SessionState,
    /// Whether any broker hears its agent, and the agent knows it.
    pub reachable: bool,
    /// Since when it is not.
    pub unreachable_since: Option<Time>,
    /// How many viewers are attached now.
    pub viewers: u32,
    /// When it was reserved.
    pub created_at: Time,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// Why it ended, in plain words; for a lost one, the evidence.
    pub reason: Option<String>,
    /// False: found on an agent without a valid start order; handed to nobody.
    pub verified: bool,
}

/// Where a session's life stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SessionState {
    /// Committed; its agent has not begun yet.
    Reserved,
    /// Its agent is starting it.
    Starting,
    /// It can be used.
    Running,
    /// It is being ended.
    Ending,
    /// It ended; `reason` says why.
    Ended,
    /// It ended with its host or its keeper; `reason` names the evidence.
    Lost,
}

/// Several sessions.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Sessions {
    /// One's own; for administrators everybody's. Those that were asked for, newest first if no other
    /// order was.
    pub sessions: Vec<Session>,
    /// How many fit the question, on whatever page; absent from brokers that cannot search.
    #[serde(default)]
    pub total: Option<u64>,
    /// How many fit it in each state, whichever state it asks for.
    #[serde(default)]
    pub counts: Option<SessionCounts>,
}

/// Sessions by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionCounts {
    /// Committed; their agents have not begun yet.
    pub reserved: u64,
    /// Being started.
    pub starting: u64,
    /// Can be used, once they are reachable.
    pub running: u64,
    /// Being ended.
    pub ending: u64,
    /// Ended.
    pub ended: u64,
    /// Lost.
    pub lost: u64,
    /// Of those that are not over: how many no broker hears of.
    pub unreachable: u64,
    /// Of all: how many have no valid start order.
    pub unverified: u64,
}

/// Which sessions are asked for. What is not said does not count.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SessionsQuery {
    /// A part of the user's name, the agent's, the profile's or the session's id, in any case.
    pub search: Option<String>,
    /// One or more states, with commas between.
    pub state: Option<String>,
    /// Whether they are reachable.
    pub reachable: Option<bool>,
    /// Whether they have a valid start order.
    pub verified: Option<bool>,
    /// The agent's id.
    pub agent: Option<String>,
    /// The user's whole name.
    pub user: Option<String>,
    /// The profile's whole name.
    pub profile: Option<String>,
    /// The order: user, agent, profile, state, viewers or created; from the end with a `-` before it.
    /// `-created` if absent; what is alike in it stands newest first.
    pub sort: Option<String>,
    /// So many at most.
    pub limit: Option<usize>,
    /// So many are left out at the beginning.
    pub skip: Option<usize>,
    /// Those that follow on the session of this id.
    pub after: Option<String>,
}

/// Asks for a session.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartRequest {
    /// The profile's name; the first that is offered if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// What is wanted.
    #[serde(default)]
    pub want: Want,
}

/// What a start is to do about sessions that exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Want {
    /// Go back to the newest one, or start one if there is none.
    #[default]
    ResumeOrStart,
    /// Start another.
    Start,
}

/// A session and the way in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SessionReply {
    /// The session.
    pub session: Session,
    /// The way in.
    pub connect: Connect,
}

/// The way into a session, good for one viewer and 30 seconds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Connect {
    /// Signed, single-use. Travels in a POST body only.
    pub ticket: String,
    /// Where a browser posts it.
    pub viewer_url: String,
    /// The RFB WebSocket.
    pub rfb_url: String,
    /// Where a program redeems it.
    pub redeem_url: String,
    /// When the ticket ends.
    pub expires_at: Time,
}

/// What a status token lets one see of its session.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SessionStatus {
    /// UUID.
    pub id: String,
    /// Where its life stands.
    pub state: SessionState,
    /// Whether any broker hears its agent.
    pub reachable: bool,
    /// Since when none does.
    pub unreachable_since: Option<Time>,
    /// Why it ended.
    pub reason: Option<String>,
}

/// Redeems a ticket, at its agent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RedeemRequest {
    /// The ticket.
    pub ticket: String,
}

/// What a ticket gives.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Redeemed {
    /// The session.
    pub session: String,
    /// Lets the same client come back without any broker.
    pub pass: String,
    /// Lets it ask any broker what became of the session.
    pub status_token: String,
    /// When the pass ends if it is not used.
    pub expires_at: Time,
}

/// What a viewer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ViewMode {
    /// Everything.
    Control,
    /// Look.
    ViewOnly,
}

/// What an agent tells a viewer page that comes with its pass.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ViewerState {
    /// The session.
    pub session: ViewerSession,
    /// Whose it is.
    pub user: String,
    /// For asking brokers.
    pub status_token: String,
    /// The brokers' public URLs.
    pub brokers: Vec<String>,
    /// What this viewer may do.
    pub mode: ViewMode,
}

/// The session of a [`ViewerState`].
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ViewerSession {
    /// UUID.
    pub id: String,
    /// Where its life stands.
    pub state: SessionState,
    /// The profile's name.
    pub profile: String,
    /// The agent's name, for people.
    pub agent_name: String,
    /// Viewers attached now.
    pub viewers: u32,
}

/// A refused start whose session no broker can reach: the session stands beside the problem.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UnreachableProblem {
    /// The problem.
    #[serde(flatten)]
    pub problem: Problem,
    /// The session.
    pub session: Session,
}
