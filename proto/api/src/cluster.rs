//! The cluster: its brokers and its agents.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Drain, Time};

/// The brokers and who leads, as the broker that answers sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cluster {
    /// The cluster's UUID.
    pub cluster: String,
    /// The broker that answers.
    pub answered_by: String,
    /// The leading broker's id.
    pub leader: Option<String>,
    /// All brokers.
    pub brokers: Vec<Broker>,
    /// Counts forced takeovers.
    pub generation: u64,
    /// Raft's term.
    pub term: u64,
    /// How many brokers vote.
    pub voters: u32,
    /// How many more brokers may fail before starts and reconnects stop.
    pub can_lose: u32,
    /// What is wrong with the answering broker's clock, in words, if anything is.
    pub clock_problem: Option<String>,
    /// The wire version that all brokers have come to; absent from brokers that know of none.
    #[serde(default)]
    pub wire: Option<u32>,
    /// Which brokers hold up a newer one, or are too old, in words, if any do.
    #[serde(default)]
    pub wire_problem: Option<String>,
    /// What administrators want everybody to read; absent if nothing.
    #[serde(default)]
    pub notice: Option<String>,
    /// How often the answering broker stood for election since its start.
    #[serde(default)]
    pub elections_started: Option<u64>,
    /// How often it came to lead.
    #[serde(default)]
    pub elections_won: Option<u64>,
}

/// One broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Broker {
    /// The broker's id.
    pub id: String,
    /// Where people reach it.
    pub url: String,
    /// Its part in the replication.
    pub role: BrokerRole,
    /// Log entries it is behind the leader, where the answering broker knows.
    pub lag: Option<u64>,
    /// Milliseconds since the answering broker last heard it, where it knows.
    pub last_contact_ms: Option<u64>,
    /// Its consensus node in this life of its data folder; absent until it has joined.
    pub node: Option<u64>,
    /// Its timing profile. All brokers should have the same.
    #[serde(default)]
    pub timing: BrokerTiming,
    /// Its clock minus the time that the answering broker goes by, milliseconds, where it knows.
    pub clock_offset_ms: Option<i64>,
    /// The newest wire version that it speaks, if the answering broker has heard.
    #[serde(default)]
    pub wire: Option<u32>,
}

/// How fast brokers notice that one is gone, and decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BrokerTiming {
    /// One site.
    #[default]
    Lan,
    /// Slow disks, or sites far apart.
    Slow,
}

/// A broker's part in the replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BrokerRole {
    /// Leads.
    Leader,
    /// Follows and votes.
    Follower,
    /// Catches up, without a vote.
    Learner,
    /// Known, but not yet taken into the replication.
    Joining,
    /// Belongs to the replication, but is not heard.
    Unreachable,
}

/// Several agents.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Agents {
    /// By name.
    pub agents: Vec<Agent>,
}

/// One agent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Agent {
    /// The agent's id.
    pub id: String,
    /// Its host's name, for people.
    pub name: String,
    /// Where viewers reach it; absent until it was heard for the first time.
    pub url: Option<String>,
    /// Whether any broker hears it.
    pub reachable: bool,
    /// Since when none does.
    pub unreachable_since: Option<Time>,
    /// Its share of new sessions against the others'.
    pub weight: u32,
    /// Sessions that start, run or end on it.
    pub sessions: u32,
    /// Reservations that it has not begun.
    pub reserved: u32,
    /// Viewers attached to its sessions.
    pub viewers: u32,
    /// The profiles it offers.
    pub profiles: Vec<String>,
    /// What it has, for profiles that require it.
    #[serde(default)]
    pub labels: Vec<String>,
    /// How many sessions it takes at most, but for what its pools say.
    #[serde(default)]
    pub max_sessions: Option<u32>,
    /// It takes no new sessions.
    #[serde(default)]
    pub drain: Option<Drain>,
    /// When it failed a start last, if none that was reserved since has worked.
    #[serde(default)]
    pub failed_at: Option<Time>,
    /// Its last report, at most some seconds old while it is reachable.
    pub load: Option<AgentLoad>,
}

/// What an agent says of its host, once a second.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AgentLoad {
    /// When the broker got it.
    pub at: Time,
    /// Bytes.
    pub memory_available: u64,
    /// Bytes.
    pub memory_total: u64,
    /// Processors.
    pub cpus: u32,
    /// The one-minute load average.
    pub load1: f64,
    /// How much its processes wait for a processor: Linux's PSI, "some avg10", percent.
    #[serde(default)]
    pub cpu_pressure: f64,
    /// How much its processes wait for memory, the same.
    #[serde(default)]
    pub memory_pressure: f64,
    /// How far its clock is from the answering broker's, milliseconds.
    pub clock_offset_ms: u64,
}

/// The kinds of desktop that one may start.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Profiles {
    /// The default first.
    pub profiles: Vec<Profile>,
}

/// One kind of desktop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// For people.
    pub title: String,
}

/// Asks for a one-time token with which a machine joins the cluster. For administrators.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinTokenRequest {
    /// What it is to be.
    pub role: JoinRole,
    /// For how long the token is good, seconds; an hour if absent, a week at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_for_s: Option<u32>,
}

/// What a machine joins as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JoinRole {
    /// It runs desktops.
    Agent,
    /// It keeps the table.
    Broker,
}

/// A one-time token; it pins the cluster's CA.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JoinToken {
    /// For `abide agent join --token`.
    pub token: String,
    /// When it ends if it is not used.
    pub expires_at: Time,
}
