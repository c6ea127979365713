//! What the engine counts of itself, for whoever shows it.
//!
//! Plain numbers in memory: nothing here knows of metrics and their formats. Counting costs an atomic
//! addition or three, so that it is done for every command.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::ids::NodeId;

const US: u64 = 1_000;
const MS: u64 = 1_000 * US;
const S: u64 = 1_000 * MS;

/// Nanoseconds. A sync on a good disk takes 0.2 ms; the heartbeats of the two timing profiles, 75 and
/// 500 ms, are bounds, since a sync must stay below.
const DURATIONS: &[u64] = &[
    100 * US,
    250 * US,
    500 * US,
    MS,
    2_500 * US,
    5 * MS,
    10 * MS,
    25 * MS,
    50 * MS,
    75 * MS,
    100 * MS,
    250 * MS,
    500 * MS,
    S,
    2_500 * MS,
    5 * S,
];
/// Nanoseconds. The bounds that are promised are among them: 750 ms and 1.5 s.
const GAPS: &[u64] =
    &[100 * MS, 250 * MS, 350 * MS, 500 * MS, 750 * MS, S, 1_500 * MS, 3 * S, 10 * S, 60 * S];
/// Commands in one entry.
const COUNTS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// A new round trip counts for one part in so many, as TCP smooths its own (RFC 6298, 2.3).
const SMOOTHING: u32 = 8;

/// The counts of one node since its start.
#[derive(Debug)]
pub struct Meters {
    elections_started: AtomicU64,
    elections_won: AtomicU64,
    leader_changes: AtomicU64,
    gaps: Spread,
    commits: Spread,
    batches: Spread,
    syncs: Spread,
    round_trips: Mutex<BTreeMap<NodeId, Duration>>,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            elections_started: AtomicU64::new(0),
            elections_won: AtomicU64::new(0),
            leader_changes: AtomicU64::new(0),
            gaps: Spread::over(GAPS),
            commits: Spread::over(DURATIONS),
            batches: Spread::over(COUNTS),
            syncs: Spread::over(DURATIONS),
            round_trips: Mutex::default(),
        }
    }
}

impl Meters {
    /// How often this node stood for election.
    pub fn elections_started(&self) -> u64 {
        self.elections_started.load(Ordering::Relaxed)
    }

    /// How often this node came to lead.
    pub fn elections_won(&self) -> u64 {
        self.elections_won.load(Ordering::Relaxed)
    }

    /// How often this node saw another leader, or another term of one, than before.
    pub fn leader_changes(&self) -> u64 {
        self.leader_changes.load(Ordering::Relaxed)
    }

    /// How long nobody led, each time that this node serves after another one led: since that was heard
    /// last, nanoseconds.
    pub fn gaps(&self) -> &Spread {
        &self.gaps
    }

    /// From a proposal at this leader until it was committed and applied here, nanoseconds; what it
    /// waited for a leader is in it.
    pub fn commits(&self) -> &Spread {
        &self.commits
    }

    /// Commands in each log entry that this node wrote as the leader.
    pub fn batches(&self) -> &Spread {
        &self.batches
    }

    /// How long each transaction of the log took to reach the disk, nanoseconds.
    pub fn syncs(&self) -> &Spread {
        &self.syncs
    }

    /// How long the other nodes took to answer this leader's heartbeats, smoothed. Of nodes that this
    /// one led at any time.
    pub fn round_trips(&self) -> BTreeMap<NodeId, Duration> {
        self.trips().clone()
    }

    pub(crate) fn stood(&self) {
        self.elections_started.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn won(&self) {
        self.elections_won.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn leader_changed(&self) {
        self.leader_changes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn took_over(&self, gap: Duration) {
        self.gaps.note(nanoseconds(gap));
    }

    pub(crate) fn committed(&self, took: Duration) {
        self.commits.note(nanoseconds(took));
    }

    pub(crate) fn wrote_batch(&self, commands: usize) {
        self.batches.note(commands as u64);
    }

    pub(crate) fn synced(&self, took: Duration) {
        self.syncs.note(nanoseconds(took));
    }

    pub(crate) fn round_trip(&self, to: NodeId, took: Duration) {
        let mut trips = self.trips();
        let known = trips.entry(to).or_insert(took);
        *known = (*known * (SMOOTHING - 1) + took) / SMOOTHING;
    }

    fn trips(&self) -> MutexGuard<'_, BTreeMap<NodeId, Duration>> {
        // One entry is changed at a time.
        self.round_trips.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// How values are spread over ranges.
#[derive(Debug)]
pub struct Spread {
    /// The ranges' upper bounds, each in its range; one more range is above the last.
    bounds: &'static [u64],
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Spread {
    fn over(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    fn note(&self, value: u64) {
        let range = self.bounds.partition_point(|bound| *bound < value);
        self.counts[range].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Each range's upper bound, `None` for the last, and how many values were in it.
    pub fn ranges(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        bounds.zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// All values together.
    pub fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_belongs_to_the_range_whose_bound_it_does_not_exceed() {
        let spread = Spread::over(&[1, 4]);
        [0, 1, 2, 4, 5, 500].into_iter().for_each(|value| spread.note(value));
        let ranges: Vec<_> = spread.ranges().collect();
        assert_eq!(ranges, [(Some(1), 2), (Some(4), 2), (None, 2)]);
        assert_eq!(spread.sum(), 512);
    }

    #[test]
    fn a_round_trip_is_smoothed() {
        let (meters, ms) = (Meters::default(), Duration::from_millis);
        meters.round_trip(NodeId(1), ms(8));
        assert_eq!(meters.round_trips(), [(NodeId(1), ms(8))].into());
        meters.round_trip(NodeId(1), ms(16));
        assert_eq!(meters.round_trips(), [(NodeId(1), ms(9))].into());
    }
}
