//! What to do next about one address. Knows neither sockets nor clocks.

use std::time::{Duration, Instant};

/// How long the kernel keeps an address that nobody renews, in whole seconds as it counts them.
pub(crate) const LIFETIME: Duration = Duration::from_secs(2);

/// How often it is renewed: three may fail before the kernel lets it go.
pub(crate) const RENEWAL: Duration = Duration::from_millis(500);

/// How long it is announced after it was taken: longer than a dead holder's kernel can keep it, which
/// until then may still answer for it.
pub(crate) const ANNOUNCED: Duration = Duration::from_secs(3);

/// How often in that time.
const ANNOUNCEMENT: Duration = Duration::from_millis(250);

/// How often to look whether this host may hold it.
const LOOK: Duration = Duration::from_millis(100);

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Add the address, or renew it, and say how that went with [`Holding::put`].
    Put,
    /// Tell the neighbours, and then [`Holding::announced`].
    Announce,
    /// Remove it, and then [`Holding::released`].
    Release,
    /// Ask again after this time at the latest.
    Wait(Duration),
}

/// How an attempt to put it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// It was not there before.
    Added,
    /// It was, and lives on.
    Renewed,
    /// The kernel refused.
    Refused,
}

/// One address, as far as this process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holding {
    /// Not on this host.
    Free,
    /// Put at least once since it was last free; also if the kernel refused, so that it is removed in
    /// the end all the same.
    Held {
        /// When it was last put, or tried to be.
        put: Instant,
        /// The announcements that are left.
        announcing: Option<Announcing>,
    },
}

/// The announcements that are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announcing {
    next: Instant,
    until: Instant,
}

impl Holding {
    /// What to do at `now` if this host may hold the address for `left`.
    pub(crate) fn next(&self, now: Instant, left: Duration) -> Step {
        match *self {
            Self::Free if left.is_zero() => Step::Wait(LOOK),
            Self::Free => Step::Put,
            Self::Held { .. } if left.is_zero() => Step::Release,
            Self::Held { put, announcing } => {
                let renewal = (put + RENEWAL).saturating_duration_since(now);
                let announcement = announcing.map(|it| it.next.saturating_duration_since(now));
                match announcement {
                    _ if renewal.is_zero() => Step::Put,
                    Some(Duration::ZERO) => Step::Announce,
                    wait => Step::Wait(renewal.min(left).min(LOOK).min(wait.unwrap_or(LOOK))),
                }
            }
        }
    }

    /// It was put, or the kernel refused.
    pub(crate) fn put(&mut self, now: Instant, how: Put) {
        let before = match *self {
            Self::Free => None,
            Self::Held { announcing, .. } => announcing,
        };
        let announcing = match how {
            Put::Added => Some(Announcing { next: now, until: now + ANNOUNCED }),
            Put::Renewed => before,
            Put::Refused => None,
        };
        *self = Self::Held { put: now, announcing };
    }

    /// It was announced once more.
    pub(crate) fn announced(&mut self, now: Instant) {
        if let Self::Held { announcing, .. } = self {
            *announcing = announcing.and_then(|Announcing { until, .. }| {
                // The last one stands at the end itself, however late the others were.
                let next = (now + ANNOUNCEMENT).min(until);
                (now < until).then_some(Announcing { next, until })
            });
        }
    }

    /// It was removed.
    pub(crate) fn released(&mut self) {
        *self = Self::Free;
    }
}
