//! How long whoever waits for a session finds it unreachable.

use std::time::Duration;

use abide_model::{Session, SessionId, Table, Timestamp};

/// How long a reservation's agent may be unreachable before another is reserved elsewhere.
pub const REPLACE_AFTER: Duration = Duration::from_secs(3);

/// One request's watch over the session that it waits for.
#[derive(Debug, Default)]
pub struct Watch {
    /// What was found unreachable without a break, and how long the request had waited by then.
    silent: Option<(SessionId, Duration)>,
}

impl Watch {
    /// How long a session has been unreachable at `now`, when the request has waited for `waited`; `None`
    /// if it can be reached.
    ///
    /// The table says since when, by the clock of whoever led. If that was ahead, only the waiting tells:
    /// it is measured by a clock that does not jump.
    pub fn unreachable_for(
        &mut self,
        table: &Table,
        session: &Session,
        now: Timestamp,
        waited: Duration,
    ) -> Option<Duration> {
        let Some(since) = table.unreachable_since(session) else {
            self.silent = None;
            return None;
        };
        let (_, from) = match self.silent {
            Some(silent) if silent.0 == session.id => silent,
            _ => *self.silent.insert((session.id, waited)),
        };
        Some(Duration::from_millis(now.since(since)).max(waited.saturating_sub(from)))
    }
}
