//! What other servers' clocks say.

use abide_model::Timestamp;

use crate::{Reading, Uptime};

/// A clock that was not heard for so long says nothing any more, milliseconds. Agents and brokers
/// tell theirs every ten seconds.
pub const FRESH_MS: u64 = 30_000;

/// What another server's clock showed at a moment of this one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting(pub Reading);

impl Sighting {
    /// What it shows now, if it was seen lately.
    pub fn now(self, now: Uptime) -> Option<Timestamp> {
        (now.since(self.0.uptime) < FRESH_MS).then(|| self.0.at(now))
    }
}

/// The other servers' clocks, at this moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Others {
    /// The other brokers'.
    pub brokers: Vec<Timestamp>,
    /// The agents'.
    pub agents: Vec<Timestamp>,
    /// Whether the cluster has other servers at all, heard or not.
    pub exist: bool,
}

impl Others {
    /// The middle of all clocks; `None` if no other was heard.
    ///
    /// Each broker has a voice, and all agents together have one, their middle: however many of them
    /// are broken into, they cannot take the time where no broker's clock is. Where that makes an
    /// even number, what was expected speaks too.
    pub(crate) fn middle(self, own: Timestamp, expected: Option<Timestamp>) -> Option<Timestamp> {
        let mut voices = self.brokers;
        voices.extend(median(self.agents));
        if voices.is_empty() {
            return None;
        }
        voices.push(own);
        if voices.len().is_multiple_of(2) {
            voices.extend(expected);
        }
        median(voices)
    }
}

/// The middle one, of two middle ones the earlier: table time cannot be taken back.
fn median(mut times: Vec<Timestamp>) -> Option<Timestamp> {
    times.sort_unstable();
    let middle = times.len().checked_sub(1)? / 2;
    times.get(middle).copied()
}
