//! The start order: what a session's row was when the leader reserved it.

use abide_model::{
    AgentId, IdempotencyKey, PoolName, ProfileName, SessionId, Timestamp, UserName, ViewKey,
};
use serde::{Deserialize, Serialize};

use crate::claims::{Claims, Purpose};

/// Orders one agent to start one session. It never expires: the ledger keeps it as long as the
/// session's row, the launcher starts nothing without it, and a table that was lost is rebuilt
/// from it. So it holds the whole row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartOrder {
    /// The session to start.
    pub session: SessionId,
    /// Whose desktop it is.
    pub user: UserName,
    /// The one agent that may start it.
    pub agent: AgentId,
    /// Which kind of desktop.
    pub profile: ProfileName,
    /// Out of which pool it is given; absent where there are none, and in orders of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolName>,
    /// The unguessable part of its path.
    pub view_key: ViewKey,
    /// The key of the request that asked for it.
    pub idempotency_key: IdempotencyKey,
    /// When it was reserved, in table time.
    pub created_at: Timestamp,
}

impl Claims for StartOrder {
    const PURPOSE: Purpose = Purpose::Start;

    fn made_at(&self) -> Timestamp {
        self.created_at
    }
}
