//! Taking an agent out of service.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Time;

/// An agent takes no new sessions; those that are there go on, and their people come and go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Drain {
    /// Who wants it.
    pub by: String,
    /// Since when.
    pub since: Time,
    /// When it should be empty.
    pub deadline: Option<Time>,
    /// What administrators say about it.
    pub message: Option<String>,
    /// What becomes of sessions that are there at the deadline.
    pub then: AtDeadline,
}

/// What becomes of a drained agent's sessions at the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AtDeadline {
    /// They go on.
    #[default]
    Keep,
    /// They are ended.
    End,
}

/// Asks for a drain, or for another plan of one that goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// In how many seconds it should be empty; no deadline if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_s: Option<u32>,
    /// Why, at most 2,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What becomes of sessions that are there at the deadline.
    #[serde(default)]
    pub then: AtDeadline,
    /// Also if the others cannot take its load.
    #[serde(default)]
    pub force: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DrainReply {
    /// As it is in force.
    pub drain: Drain,
    /// Whether the others can take its load.
    pub check: DrainCheck,
}

/// Whether other agents can take what an agent has, should all of its people start anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DrainCheck {
    /// Sessions that are reserved, start, run or end on it.
    pub sessions: u32,
    /// How many more sessions the others take; absent if one of them has no maximum.
    pub room_elsewhere: Option<u32>,
    /// Whether that is enough.
    pub fits: bool,
    /// The same in plain words.
    pub why: String,
}
