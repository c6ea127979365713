//! Whose tickets count no more, after "log out everywhere".

use std::collections::HashMap;

use abide_model::{Timestamp, UserName};
use abide_ticket::{TICKET_LEEWAY_MS, TICKET_LIFETIME_MS};
use tokio::time::{Duration, Instant};

/// How long a log-out matters after it was told: until each ticket that was issued before it has
/// expired, with an hour for clocks that differ.
const MATTERS: Duration =
    Duration::from_millis(60 * 60 * 1000 + TICKET_LIFETIME_MS + TICKET_LEEWAY_MS);

/// Log-outs that still matter. Brokers tell them on every new stream, so they need not be durable; that
/// the passes are gone is.
#[derive(Debug, Default)]
pub(super) struct LogOuts(HashMap<UserName, LogOut>);

#[derive(Debug, Clone, Copy)]
struct LogOut {
    before: Timestamp,
    told: Instant,
}

impl LogOuts {
    /// What came of this user's tickets until `before` counts no more.
    pub(super) fn note(&mut self, user: UserName, before: Timestamp, now: Instant) {
        let known = self.0.entry(user).or_insert(LogOut { before, told: now });
        *known = LogOut { before: before.max(known.before), told: now };
    }

    /// Whether a ticket of this user that was issued then counts no more.
    pub(super) fn cover(&self, user: &UserName, issued_at: Timestamp) -> bool {
        self.0.get(user).is_some_and(|out| issued_at <= out.before)
    }

    /// Forgets those that matter no more.
    pub(super) fn prune(&mut self, now: Instant) {
        self.0.retain(|_, out| now.duration_since(out.told) < MATTERS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_out_is_remembered_as_long_as_a_ticket_from_before_could_be_good() {
        let ada: UserName = "ada".parse().unwrap();
        let (mut outs, begun) = (LogOuts::default(), Instant::now());
        outs.note(ada.clone(), Timestamp(5_000), begun);
        assert!(outs.cover(&ada, Timestamp(5_000)));
        assert!(!outs.cover(&ada, Timestamp(5_001)));
        assert!(!outs.cover(&"bob".parse().unwrap(), Timestamp(1)));
        outs.prune(begun + MATTERS / 2);
        // Told anew on another stream, by a broker whose table is older.
        outs.note(ada.clone(), Timestamp(4_000), begun + MATTERS / 2);
        outs.prune(begun + MATTERS);
        assert!(outs.cover(&ada, Timestamp(5_000)));
        outs.prune(begun + MATTERS * 2);
        assert!(outs.0.is_empty());
    }
}
