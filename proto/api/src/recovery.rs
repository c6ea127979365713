//! A table that was lost and is made anew from what the agents report.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Time;

/// How far the rebuild is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Recovery {
    /// When it began.
    pub since: Time,
    /// No session is placed yet.
    pub waiting: bool,
    /// Who said that sessions are placed again.
    pub placed_by: Option<String>,
    /// The agents that must have reported before, by id or name.
    pub expected: Vec<String>,
    /// Those of them that have not.
    pub missing: Vec<String>,
    /// The agents that are known again.
    pub agents: Vec<RecoveryAgent>,
}

/// One agent of a rebuild.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RecoveryAgent {
    /// The agent's id.
    pub id: String,
    /// Its host's name, for people.
    pub name: String,
    /// All that it reported is in the table.
    pub reported: bool,
    /// Its sessions in the table.
    pub sessions: u32,
    /// Sessions that it has on orders which this cluster cannot check.
    pub unverified: u32,
}

/// Names agents that must have reported before sessions are placed again.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectRequest {
    /// Their ids or names.
    pub agents: Vec<String>,
}

/// Vouches for what an agent lists.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmRequest {
    /// Its id or name.
    pub agent: String,
}

/// What was taken in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Confirmed {
    /// How many sessions.
    pub sessions: u32,
}
