//! The judgement.

use abide_model::Timestamp;

use crate::voices::Others;
use crate::{Reading, Uptime, apart};

/// How far a clock may be off and is believed all the same, milliseconds.
pub const SLACK_MS: u64 = 10 * 60 * 1000;

/// How long other clocks are waited for before one's own is believed without them, milliseconds.
/// Agents dial every second, and whoever asks the leader for something waits no longer than this.
pub const PATIENCE_MS: u64 = 10_000;

/// How long a judgement holds before the other clocks are looked at again, milliseconds.
const HOLDS_MS: u64 = 1_000;

/// How far the others' middle may move before it is followed, milliseconds: tokens bear a minute, and
/// time should run evenly.
const STEADY_MS: u64 = 20_000;

/// What time it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// What one's own clock shows.
    Own(Timestamp),
    /// One's own clock is wrong: this is what the others' show.
    Others(Timestamp),
    /// Nobody can tell yet.
    Doubt,
}

/// Judges one broker's clock. Starts by believing it.
#[derive(Debug, Default)]
pub struct Guard {
    /// What the time was held to be, and when: the table's, or the last judgement's.
    known: Option<Reading>,
    /// The table's time as it was seen last.
    table: Timestamp,
    trust: Trust,
}

#[derive(Debug, Clone, Copy)]
enum Trust {
    Own { judged: Option<Uptime> },
    Doubt { since: Uptime },
    Others { base: Reading, judged: Uptime },
}

impl Default for Trust {
    fn default() -> Self {
        Self::Own { judged: None }
    }
}

impl Guard {
    /// Judges: `table` is the table's time, `others` tells what the other servers' clocks show now; it is
    /// asked only where that matters.
    pub fn look(
        &mut self,
        now: Reading,
        table: Timestamp,
        others: impl FnOnce() -> Others,
    ) -> Verdict {
        let expected = self.expect(now.uptime, table);
        let fits = expected.is_none_or(|expected| apart(expected, now.wall) <= SLACK_MS);
        let holds = |judged: Uptime| now.uptime.since(judged) < HOLDS_MS;
        match self.trust {
            Trust::Own { judged: Some(judged) } if fits && holds(judged) => {}
            Trust::Others { judged, .. } if holds(judged) => {}
            _ => {
                self.trust = self.judge(now, expected, fits, others());
                // Whatever was decided is what the next look is measured by.
                if !matches!(self.trust, Trust::Doubt { .. }) {
                    self.known = None;
                }
            }
        }
        match self.trust {
            Trust::Own { .. } => {
                self.known = Some(now);
                Verdict::Own(now.wall)
            }
            Trust::Others { base, .. } => {
                let time = base.at(now.uptime);
                self.known.get_or_insert(Reading { wall: time, ..now });
                Verdict::Others(time)
            }
            Trust::Doubt { .. } => Verdict::Doubt,
        }
    }

    /// What the time should be: where the table has just moved to, or what was known, gone on.
    fn expect(&mut self, now: Uptime, table: Timestamp) -> Option<Timestamp> {
        let news = (table > self.table).then_some(table);
        self.table = self.table.max(table);
        let expected = news.or(self.known.map(|known| known.at(now)));
        self.known = expected.map(|wall| Reading { wall, uptime: now });
        expected
    }

    fn judge(
        &self,
        now: Reading,
        expected: Option<Timestamp>,
        fits: bool,
        others: Others,
    ) -> Trust {
        let own = Trust::Own { judged: Some(now.uptime) };
        let exist = others.exist;
        match (others.middle(now.wall, expected), self.trust) {
            (Some(middle), _) if apart(middle, now.wall) <= SLACK_MS => own,
            (Some(middle), Trust::Others { base, .. })
                if apart(base.at(now.uptime), middle) <= STEADY_MS =>
            {
                Trust::Others { base, judged: now.uptime }
            }
            (Some(middle), _) => {
                let base = Reading { wall: middle, ..now };
                Trust::Others { base, judged: now.uptime }
            }
            (None, _) if fits || !exist => own,
            // Silence proves nothing against those who spoke before.
            (None, Trust::Others { base, .. }) => Trust::Others { base, judged: now.uptime },
            (None, Trust::Doubt { since }) if now.uptime.since(since) >= PATIENCE_MS => own,
            (None, doubt @ Trust::Doubt { .. }) => doubt,
            (None, Trust::Own { .. }) => Trust::Doubt { since: now.uptime },
        }
    }
}
