//! For how long a session may go on.

use std::time::Duration;

/// A session's limits; each may be absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Without a key or a move of the pointer from any viewer.
    pub idle: Option<Duration>,
    /// Without a viewer.
    pub disconnected: Option<Duration>,
    /// Since its start.
    pub total: Option<Duration>,
    /// How long before the end people are warned.
    pub warn: Option<Duration>,
}

/// How long before the end people are warned where nobody has said.
const WARN: Duration = Duration::from_secs(5 * 60);

/// Which limit ends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Nobody did anything in it.
    Idle,
    /// Nobody looked at it.
    Disconnected,
    /// It went on for so long.
    Total,
}

/// What an agent has seen of a session; spans until now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Since its start.
    pub age: Duration,
    /// Since the last input, or its start.
    pub idle: Duration,
    /// Since the last viewer left, or its start; `None` while there is one.
    pub alone: Option<Duration>,
}

/// How a session stands with its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is to do before this span has passed; `None`: ever.
    Free(Option<Duration>),
    /// It ends in this time, unless what the limit counts begins anew. People should know.
    EndsIn(Limit, Duration),
    /// It is over.
    Over(Limit),
}

impl Limits {
    /// These, and what they leave open from others.
    pub fn or(self, others: Limits) -> Limits {
        Limits {
            idle: self.idle.or(others.idle),
            disconnected: self.disconnected.or(others.disconnected),
            total: self.total.or(others.total),
            warn: self.warn.or(others.warn),
        }
    }

    /// How long before the end people are warned.
    pub fn warning(&self) -> Duration {
        self.warn.unwrap_or(WARN)
    }

    /// How a session stands. The limit that is reached first counts.
    pub fn judge(&self, seen: Seen) -> Standing {
        let each = [
            (Limit::Idle, self.idle, Some(seen.idle)),
            (Limit::Disconnected, self.disconnected, seen.alone),
            (Limit::Total, self.total, Some(seen.age)),
        ];
        let left = each
            .into_iter()
            .filter_map(|(limit, bound, passed)| Some((limit, bound?.saturating_sub(passed?))));
        let warn = self.warning();
        match left.min_by_key(|(_, left)| *left) {
            None => Standing::Free(None),
            Some((limit, Duration::ZERO)) => Standing::Over(limit),
            Some((limit, left)) if left <= warn => Standing::EndsIn(limit, left),
            Some((_, left)) => Standing::Free(Some(left - warn)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn minutes(n: u64) -> Duration {
        Duration::from_secs(n * 60)
    }

    const LIMITS: Limits = Limits {
        idle: Some(minutes(30)),
        disconnected: Some(minutes(60)),
        total: Some(minutes(600)),
        warn: Some(minutes(5)),
    };

    #[test]
    fn the_limit_that_is_reached_first_counts() {
        let seen = Seen { age: minutes(100), idle: minutes(10), alone: None };
        assert_eq!(LIMITS.judge(seen), Standing::Free(Some(minutes(15))));
        let seen = Seen { idle: minutes(26), ..seen };
        assert_eq!(LIMITS.judge(seen), Standing::EndsIn(Limit::Idle, minutes(4)));
        let seen = Seen { idle: minutes(29), alone: Some(minutes(59)), age: minutes(600) };
        assert_eq!(LIMITS.judge(seen), Standing::Over(Limit::Total));
        assert_eq!(Limits::default().judge(seen), Standing::Free(None));
    }

    #[test]
    fn a_viewer_stops_the_time_alone() {
        let limits = Limits { idle: None, ..LIMITS };
        let seen = Seen { age: minutes(70), idle: minutes(70), alone: Some(minutes(61)) };
        assert_eq!(limits.judge(seen), Standing::Over(Limit::Disconnected));
        let seen = Seen { alone: None, ..seen };
        assert_eq!(limits.judge(seen), Standing::Free(Some(minutes(525))));
    }

    proptest! {
        /// Whoever waits as long as it was told finds people to warn, before the end.
        #[test]
        fn nobody_is_ended_unwarned(
            idle in 1u64..10_000, total in 1u64..10_000, warn in 0u64..500,
            age in 0u64..20_000, quiet in 0u64..20_000,
        ) {
            let seconds = Duration::from_secs;
            let limits = Limits {
                idle: Some(seconds(idle)), total: Some(seconds(total)),
                warn: Some(seconds(warn)), disconnected: None,
            };
            let seen = Seen { age: seconds(age), idle: seconds(quiet.min(age)), alone: None };
            if let Standing::Free(Some(pause)) = limits.judge(seen) {
                let later = Seen { age: seen.age + pause, idle: seen.idle + pause, ..seen };
                let is_over = matches!(limits.judge(later), Standing::Over(_));
                prop_assert_eq!(is_over, warn == 0, "{:?}", limits.judge(later));
                if warn > 0 {
                    prop_assert!(matches!(limits.judge(later), Standing::EndsIn(..)));
                }
            }
        }
    }
}
