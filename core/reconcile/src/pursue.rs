//! What the table wants of an agent.

use std::sync::Arc;

use abide_model::{Report, Session, State};
use abide_ticket::StartOrder;

/// What an agent is to be told about a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Start it.
    Start,
    /// Never start it.
    Cancel,
    /// End it.
    End {
        /// To be recorded as who asked.
        by: Arc<str>,
    },
}

/// Whether anybody still wants what was reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reservation {
    /// As far as is known.
    Wanted,
    /// It is old, and nobody waits for it.
    Stale,
}

/// What a session's agent is to be told, if anything, since the table has the session so and the agent's
/// ledger so; `None` if the ledger does not list it.
pub fn pursue(
    session: &Session,
    listed: Option<&Report>,
    reservation: Reservation,
) -> Option<Wanted> {
    match (&session.state, listed) {
        (State::Reserved, None) => Some(match reservation {
            Reservation::Wanted => Wanted::Start,
            Reservation::Stale => Wanted::Cancel,
        }),
        // Its word that it was never started is what ends it.
        (State::Ending { .. } | State::Superseded { .. }, None) => Some(Wanted::Cancel),
        (State::Ending { by }, Some(Report::Starting | Report::Running { .. })) => {
            Some(Wanted::End { by: Arc::clone(by) })
        }
        // One that somebody saw is left alone.
        (
            State::Superseded { by },
            Some(Report::Starting | Report::Running { ever_attached: false }),
        ) => {
            let by = format!("the cluster: replaced by {by} before anybody saw it").into();
            Some(Wanted::End { by })
        }
        _ => None,
    }
}

/// The order to start a session: its whole row.
pub fn start_order(session: &Session) -> StartOrder {
    StartOrder {
        session: session.id,
        user: session.user.clone(),
        agent: session.agent.clone(),
        profile: session.profile.clone(),
        pool: session.pool.clone(),
        view_key: session.view_key.clone(),
        idempotency_key: session.key.clone(),
        created_at: session.created_at,
    }
}
