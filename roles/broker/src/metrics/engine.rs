//! What the consensus engine counts of itself.

use std::fmt;

use abide_raft::{Raft, Spread};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::replica::Replica;

/// Nanoseconds in a second.
const SECOND: f64 = 1e9;

/// See the module.
pub(super) struct Engine(pub(super) Raft<Replica>);

impl Collector for Engine {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let to = &mut encoder;
        let meters = self.0.meters();
        let term = self.0.leadership().borrow().term;
        put(to, "term", "Raft's term", None, &ConstGauge::new(term))?;
        for (name, about, count) in [
            (
                "elections_started",
                "Elections that this broker stood in",
                meters.elections_started(),
            ),
            ("elections_won", "Times that this broker came to lead", meters.elections_won()),
            (
                "leader_changes",
                "Times that this broker saw another leader, or a leader of another term",
                meters.leader_changes(),
            ),
        ] {
            put(to, name, about, None, &ConstCounter::new(count))?;
        }
        let about =
            "Time without a leader, since the former one was heard, when this broker took over";
        spread(to, "failover_gap", about, Some(&Unit::Seconds), meters.gaps(), SECOND)?;
        let heartbeat = ConstGauge::new(self.0.timing().heartbeat.as_secs_f64());
        let about = "The limit of every append: must exceed a round trip and the slowest sync";
        put(to, "heartbeat_interval", about, Some(&Unit::Seconds), &heartbeat)?;
        let about = "Time from a proposal at the leader until it was committed and applied";
        spread(to, "commit_duration", about, Some(&Unit::Seconds), meters.commits(), SECOND)?;
        let about = "Time until a transaction of the log was on the disk";
        spread(to, "log_sync_duration", about, Some(&Unit::Seconds), meters.syncs(), SECOND)?;
        let about = "Commands in each log entry that this broker wrote as the leader";
        spread(to, "batch_commands", about, None, meters.batches(), 1.0)
    }
}

/// One number without labels.
pub(super) fn put(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    about: &str,
    unit: Option<&Unit>,
    value: &impl EncodeMetric,
) -> fmt::Result {
    value.encode(to.encode_descriptor(name, about, unit, value.metric_type())?)
}

/// A spread whose values are parts of the metric's unit: `parts` of them are one.
fn spread(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    about: &str,
    unit: Option<&Unit>,
    spread: &Spread,
    parts: f64,
) -> fmt::Result {
    let bound = |bound: Option<u64>| bound.map_or(f64::INFINITY, |bound| bound as f64 / parts);
    let ranges: Vec<_> = spread.ranges().map(|(upto, count)| (bound(upto), count)).collect();
    let count = ranges.iter().map(|(_, count)| count).sum();
    let sum = spread.sum() as f64 / parts;
    let mut encoder = to.encode_descriptor(name, about, unit, MetricType::Histogram)?;
    encoder.encode_histogram::<NoLabelSet>(sum, count, &ranges, None)
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine")
    }
}
