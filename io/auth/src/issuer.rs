//! A broker's signatures.

use std::sync::Arc;
use std::time::Duration;

use abide_model::{AgentId, ClusterId, SessionId, Timestamp, UserName};
use abide_ticket::{
    LoginToken, SigningKey, StartOrder, StatusToken, TICKET_LIFETIME_MS, Ticket, TokenId, ViewMode,
};
use uuid::Uuid;

use crate::conversation::Accepted;

/// How long a status token lasts. Longer than people keep a page open; it only tells what became
/// of one session.
pub const STATUS_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// Whom a ticket lets in where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketGrant {
    /// The session to attach to.
    pub session: SessionId,
    /// Where it runs.
    pub agent: AgentId,
    /// Whose it is.
    pub user: UserName,
    /// What the viewer may do.
    pub mode: ViewMode,
}

/// Signs with a broker's key. Clones share it. Ids come from the system's random source.
#[derive(Debug, Clone)]
pub struct Issuer {
    cluster: ClusterId,
    key: Arc<SigningKey>,
}

impl Issuer {
    /// Signs for this cluster with this key.
    pub fn new(cluster: ClusterId, key: SigningKey) -> Self {
        Self { cluster, key: Arc::new(key) }
    }

    /// The token of a login, and what it says.
    pub fn login(
        &self,
        who: &Accepted,
        now: Timestamp,
        lifetime: Duration,
    ) -> (String, LoginToken) {
        let claims = LoginToken {
            jti: fresh_id(),
            user: who.user.clone(),
            groups: who.groups.clone(),
            role: who.role,
            issued_at: now,
            expires_at: after(now, lifetime),
        };
        (self.key.sign(self.cluster, &claims), claims)
    }

    /// A ticket, with its status token within, and what it says. `now` is this broker's clock.
    pub fn ticket(&self, grant: TicketGrant, now: Timestamp) -> (String, Ticket) {
        let TicketGrant { session, agent, user, mode } = grant;
        let status = StatusToken {
            jti: fresh_id(),
            session,
            user: user.clone(),
            issued_at: now,
            expires_at: after(now, STATUS_LIFETIME),
        };
        let claims = Ticket {
            jti: fresh_id(),
            session,
            agent,
            user,
            mode,
            issued_at: now,
            expires_at: now.plus(TICKET_LIFETIME_MS),
            status: self.key.sign(self.cluster, &status),
        };
        (self.key.sign(self.cluster, &claims), claims)
    }

    /// A start order.
    pub fn order(&self, order: &StartOrder) -> String {
        self.key.sign(self.cluster, order)
    }
}

fn fresh_id() -> TokenId {
    TokenId(Uuid::new_v4())
}

fn after(now: Timestamp, lifetime: Duration) -> Timestamp {
    now.plus(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX))
}
