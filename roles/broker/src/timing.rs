//! What follows from a timing profile. Everything that waits for elections scales with the lease.

use std::collections::BTreeSet;
use std::time::Duration;

use abide_model::{BrokerId, Table, Timing};
use tracing::warn;

/// The engine's numbers.
pub fn engine(timing: Timing) -> abide_raft::Settings {
    let defaults = abide_raft::Settings::default();
    let timing = match timing {
        Timing::Lan => abide_raft::Timing::LAN,
        Timing::Slow => abide_raft::Timing::SLOW,
    };
    // An election that has to be repeated, and what comes after it.
    let election = timing.lease * 5;
    abide_raft::Settings {
        timing,
        propose_timeout: defaults.propose_timeout.max(election),
        read_timeout: defaults.read_timeout.max(election),
        ..defaults
    }
}

/// A broker that has not been heard for so long does not count as one that can vote: longer than an
/// election takes, shorter than a person waits.
pub fn unheard(timing: Timing) -> Duration {
    Duration::from_secs(2).max(engine(timing).timing.lease * 3)
}

/// How long a request waits for a leader and its answer, failovers included, before it is told to come
/// again.
pub fn request(timing: Timing) -> Duration {
    engine(timing).propose_timeout * 2
}

/// How long a read may take until this broker says that it is not ready.
pub fn ready(timing: Timing) -> Duration {
    Duration::from_secs(1).max(engine(timing).timing.lease)
}

/// Warns when other brokers that have another profile than this one come or go; `known` are those that
/// were known before.
pub fn compare(table: &Table, own: Timing, known: &mut BTreeSet<BrokerId>) {
    let others = table.brokers().filter(|row| row.timing != own).map(|row| row.id.clone());
    let others: BTreeSet<_> = others.collect();
    if *known != others && !others.is_empty() {
        let brokers: Vec<_> = others.iter().map(BrokerId::as_str).collect();
        warn!(
            ?own,
            ?brokers,
            "These brokers have another timing profile; all should have the same"
        );
    }
    *known = others;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_waits_for_an_election_outlasts_it() {
        for timing in [Timing::Lan, Timing::Slow] {
            let abide_raft::Settings { timing: pace, propose_timeout, read_timeout, .. } =
                engine(timing);
            // Noticed after a lease; a second try half a lease after the first.
            let election = pace.lease * 2;
            let waits = [propose_timeout, read_timeout, request(timing), unheard(timing)];
            assert!(waits.iter().all(|wait| *wait > election), "{timing:?}: {waits:?}");
            assert!(ready(timing) > pace.heartbeat * 2, "{timing:?}");
        }
    }
}
