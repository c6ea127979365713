//! How an agent's load was.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Time;

/// What the broker that answers has heard of one agent, while it ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AgentHistory {
    /// The agent's id.
    pub agent: String,
    /// The broker that answers.
    pub answered_by: String,
    /// Seconds between two samples.
    pub every_s: u32,
    /// Oldest first; `null` where the agent was not heard.
    pub samples: Vec<Option<AgentSample>>,
}

/// One moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AgentSample {
    /// When.
    pub at: Time,
    /// Sessions on it, reservations included.
    pub sessions: u32,
    /// Viewers attached to them.
    pub viewers: u32,
    /// The one-minute load average.
    pub load1: f64,
    /// Memory that was left, percent of the whole.
    pub memory_available: f64,
    /// How much its processes waited for a processor: Linux's PSI, "some avg10", percent.
    pub cpu_pressure: f64,
    /// How much its processes waited for memory, the same.
    pub memory_pressure: f64,
}

/// How far back.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// 60 if absent, which is also the most that is kept.
    pub minutes: Option<u32>,
}
