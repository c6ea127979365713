//! Whose tickets count no more, after "log out everywhere".

use std::collections::HashMap;

use abide_ledger::LogOut;
use abide_model::{Timestamp, UserName};
use abide_ticket::{TICKET_LEEWAY_MS, TICKET_LIFETIME_MS};
use tokio::time::{Duration, Instant};

/// How long a log-out matters after it was told: until each ticket that was issued before it has
/// expired, with an hour for clocks that differ.
const MATTERS: Duration =
    Duration::from_millis(60 * 60 * 1000 + TICKET_LIFETIME_MS + TICKET_LEEWAY_MS);

/// Log-outs that still matter. Brokers tell them on every new stream; they are durable for tickets that come
/// before that, or while no broker is there.
#[derive(Debug)]
pub(super) struct LogOuts(HashMap<UserName, Told>);

#[derive(Debug, Clone, Copy)]
struct Told {
    before: Timestamp,
    at: Instant,
}

impl LogOuts {
    /// Those in the ledger, as if they were told now: a clock that does not jump knows nothing of when they
    /// were.
    pub(super) fn restored(kept: impl IntoIterator<Item = LogOut>, now: Instant) -> Self {
        let told = |LogOut { user, before }| (user, Told { before, at: now });
        Self(kept.into_iter().map(told).collect())
    }

    /// What came of this user's tickets until `before` counts no more. Gives what is to be kept of it, if that
    /// is new.
    pub(super) fn note(
        &mut self,
        user: UserName,
        before: Timestamp,
        now: Instant,
    ) -> Option<LogOut> {
        let known = self.0.get_mut(&user);
        if let Some(known) = known {
            known.at = now;
            if before <= known.before {
                return None;
            }
        }
        self.0.insert(user.clone(), Told { before, at: now });
        Some(LogOut { user, before })
    }

    /// Whether a ticket of this user that was issued then counts no more.
    pub(super) fn cover(&self, user: &UserName, issued_at: Timestamp) -> bool {
        self.0.get(user).is_some_and(|out| issued_at <= out.before)
    }

    /// Forgets those that matter no more; gives whose.
    pub(super) fn prune(&mut self, now: Instant) -> Vec<UserName> {
        let is_over = |_: &UserName, out: &mut Told| now.duration_since(out.at) >= MATTERS;
        self.0.extract_if(is_over).map(|(user, _)| user).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_out_is_remembered_as_long_as_a_ticket_from_before_could_be_good() {
        let ada: UserName = "ada".parse().unwrap();
        let (mut outs, begun) = (LogOuts::restored([], Instant::now()), Instant::now());
        let kept = LogOut { user: ada.clone(), before: Timestamp(5_000) };
        assert_eq!(outs.note(ada.clone(), Timestamp(5_000), begun), Some(kept.clone()));
        assert!(outs.cover(&ada, Timestamp(5_000)));
        assert!(!outs.cover(&ada, Timestamp(5_001)));
        assert!(!outs.cover(&"bob".parse().unwrap(), Timestamp(1)));
        assert_eq!(outs.prune(begun + MATTERS / 2), []);
        // Told anew on another stream, by a broker whose table is older.
        assert_eq!(outs.note(ada.clone(), Timestamp(4_000), begun + MATTERS / 2), None);
        assert_eq!(outs.prune(begun + MATTERS), []);
        assert!(outs.cover(&ada, Timestamp(5_000)));
        assert_eq!(outs.prune(begun + MATTERS * 2), std::slice::from_ref(&ada));
        assert!(outs.0.is_empty());

        let mut outs = LogOuts::restored([kept], begun);
        assert!(outs.cover(&ada, Timestamp(5_000)));
        assert_eq!(outs.note(ada.clone(), Timestamp(5_000), begun), None, "it is kept already");
        assert_eq!(outs.prune(begun + MATTERS), [ada]);
    }
}
