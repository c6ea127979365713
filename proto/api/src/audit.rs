//! What a broker has written down of its decisions about people's access.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A piece of one broker's audit log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// Whose log it is. Each broker has its own.
    pub broker: String,
    /// Newest first.
    pub records: Vec<AuditRecord>,
    /// From where older ones are read on; `null` when there are none, as far as the broker keeps them.
    pub before: Option<String>,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditRecord {
    /// Where it stands in its log.
    #[serde(default)]
    pub id: String,
    /// When, RFC 3339.
    pub at: String,
    /// About what: login, logout, call, start, ticket, redeem, attach, end, abandon, join, administer, ….
    pub decision: String,
    /// `allowed` or `refused`.
    pub verdict: String,
    /// About whom: the name as typed, or as proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Which session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Which agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Which token or ticket, by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Why, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Which records are asked for. What is not said does not count.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// The user's whole name.
    pub user: Option<String>,
    /// About what.
    pub decision: Option<String>,
    /// `allowed` or `refused`.
    pub verdict: Option<String>,
    /// A part of anything in the record, in any case.
    pub search: Option<String>,
    /// So many at most; 100 if absent, 1,000 at the most.
    pub limit: Option<usize>,
    /// Those before this record, or from where the page before said.
    pub before: Option<String>,
}
