//! Whether a broker's own clock may be believed, and what time it is if not. Reads no clock itself.
//!
//! The table's time never runs backwards, so a leader whose clock is hours ahead would move it for good:
//! what is kept for a day would be forgotten at once. And tokens are judged by clocks.
//!
//! ```text
//!         no other clock was heard, and it does not fit what was known
//! Own ───────────────────────────────────────────────────▶ Doubt
//!  ▲ │                                                       │ │ still none after a while: believed,
//!  │ │ the middle of all clocks is elsewhere                 │ │ as after a week without power
//!  │ ▼                                                       │ ▼
//! Others ◀───────────────────────────────────────────────────┘ Own
//! ```

mod guard;
mod voices;

pub use guard::{Guard, PATIENCE_MS, SLACK_MS, Verdict};
pub use voices::{FRESH_MS, Others, Sighting};

use abide_model::Timestamp;

/// Milliseconds on a clock that only measures: it never jumps, and goes on while the host sleeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uptime(pub u64);

impl Uptime {
    /// Milliseconds from `earlier` to this.
    pub fn since(self, earlier: Uptime) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Both of a host's clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The one that people read.
    pub wall: Timestamp,
    /// The one that only measures.
    pub uptime: Uptime,
}

impl Reading {
    /// What the wall clock shows later, if it runs evenly.
    pub fn at(self, later: Uptime) -> Timestamp {
        self.wall.plus(later.since(self.uptime))
    }
}

/// Milliseconds between two times.
pub(crate) fn apart(a: Timestamp, b: Timestamp) -> u64 {
    a.0.abs_diff(b.0)
}

#[cfg(test)]
mod tests;
