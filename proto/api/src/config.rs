//! The cluster's configuration: one text, and the versions before it. For administrators.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Time;

/// A version of the cluster's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Config {
    /// Counts them, from 1; 0: none was ever taken, and the text is empty.
    pub version: u64,
    /// What it says, TOML.
    pub text: String,
    /// When it was taken.
    pub at: Option<Time>,
    /// By whom.
    pub by: Option<String>,
    /// What for, in that person's words.
    pub note: Option<String>,
    /// Why the answering broker cannot read it: its Abide is older than the one that took it. It goes by the
    /// last version that it can read.
    pub problem: Option<String>,
}

/// Takes another configuration into force.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigRequest {
    /// The version that this one goes out from. Refused if another was taken since.
    pub base: u64,
    /// What it says, TOML; 256 KiB at most.
    pub text: String,
    /// What for; 1 KiB at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Asks what is wrong with a configuration.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigCheckRequest {
    /// What it says, TOML.
    pub text: String,
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigCheck {
    /// Each with its line, its key, and what would be right. None: it would be taken.
    pub problems: Vec<String>,
}

/// The versions that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigHistory {
    /// The one in force first.
    pub versions: Vec<ConfigSummary>,
}

/// A version without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigSummary {
    /// Its number.
    pub version: u64,
    /// When it was taken.
    pub at: Time,
    /// By whom.
    pub by: String,
    /// What for, in that person's words.
    pub note: Option<String>,
}
