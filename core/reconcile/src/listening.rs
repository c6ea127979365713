//! Since when a leader could have heard an agent: silence before that is nobody's.

use std::ops::Sub;
use std::time::Duration;

/// A look later than this after the one before it says that the process stood still: then it heard nobody,
/// whoever spoke.
const STOOD_STILL: Duration = Duration::from_millis(1_000);

/// Since when this broker can hear agents. `T` is a moment of a clock that never jumps, told by whoever
/// looks.
#[derive(Debug, Clone, Copy)]
pub struct Listening<T> {
    since: T,
    looked: T,
}

impl<T: Copy + Ord + Sub<Output = Duration>> Listening<T> {
    /// It begins to.
    pub fn new(now: T) -> Self {
        Self { since: now, looked: now }
    }

    /// To be called several times a second. Without a majority (`is_serving` is false) it may be this broker
    /// that is cut off.
    pub fn look(&mut self, now: T, is_serving: bool) {
        if now - self.looked > STOOD_STILL || !is_serving {
            self.since = now;
        }
        self.looked = now;
    }

    /// Whether an agent that was heard last then, if ever, is silent: to be asked after a look. Before this
    /// broker could hear it, and before it led, the agent was not silent.
    pub fn is_silent(&self, heard: Option<T>, leading_since: T, most: Duration) -> bool {
        let from = self.since.max(leading_since);
        !self.is_heard(Some(heard.map_or(from, |heard| heard.max(from))), most)
    }

    /// Whether an agent is surely heard. That it could not have been is no sign of life.
    pub fn is_heard(&self, heard: Option<T>, most: Duration) -> bool {
        heard.is_some_and(|heard| self.looked <= heard || self.looked - heard <= most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks each 200 ms until `until`, but not between the two moments of `gap`.
    fn looked(until: u64, gap: (u64, u64), is_serving: impl Fn(u64) -> bool) -> Listening<Ms> {
        let mut listening = Listening::new(Ms(0));
        for now in (0..=until).step_by(200).filter(|now| !(gap.0..gap.1).contains(now)) {
            listening.look(Ms(now), is_serving(now));
        }
        listening
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    struct Ms(u64);

    impl Sub for Ms {
        type Output = Duration;

        fn sub(self, other: Self) -> Duration {
            Duration::from_millis(self.0 - other.0)
        }
    }

    #[test]
    fn silence_counts_from_when_the_agent_could_have_been_heard() {
        type Case = (&'static str, Listening<Ms>, Option<u64>, u64, [bool; 2]);
        let looked_always = |gap| looked(9_000, gap, |_| true);
        const FINE: [bool; 2] = [false, true];
        const SILENT: [bool; 2] = [true, false];
        const UNKNOWN: [bool; 2] = [false, false];
        let cases: [Case; 9] = [
            ("heard", looked_always((0, 0)), Some(8_000), 0, FINE),
            ("heard after the last look", looked_always((0, 0)), Some(9_100), 0, FINE),
            ("silent", looked_always((0, 0)), Some(6_000), 0, SILENT),
            ("never heard", looked_always((0, 0)), None, 0, SILENT),
            ("a new leader gives time", looked_always((0, 0)), Some(100), 8_000, UNKNOWN),
            ("and so to one never heard", looked_always((0, 0)), None, 8_000, UNKNOWN),
            ("it stood still", looked_always((1_000, 8_200)), Some(900), 0, UNKNOWN),
            ("a late look is no stand", looked_always((1_000, 1_800)), Some(900), 0, SILENT),
            ("cut off", looked(9_000, (0, 0), |now| now > 7_900), Some(900), 0, UNKNOWN),
        ];
        let most = Duration::from_millis(2_200);
        for (name, listening, heard, leading_since, expected) in cases {
            let heard = heard.map(Ms);
            let is_silent = listening.is_silent(heard, Ms(leading_since), most);
            assert_eq!([is_silent, listening.is_heard(heard, most)], expected, "{name}");
        }
    }
}
