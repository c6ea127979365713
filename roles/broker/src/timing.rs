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

/// What silence of an agent means. It speaks to every broker once a second, and brokers tell the leader
/// once a second whom they hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silences {
    /// Whoever heard the agent within this hears it: it is told of right after the fact or up to a second
    /// later.
    pub fresh: Duration,
    /// A link on which nothing came for so long is no good, if somebody else has heard the agent meanwhile.
    pub quiet: Duration,
    /// Until a line through another broker brings its first message.
    pub line: Duration,
    /// Silence to every broker after which it is unreachable. A restart of its daemon takes less than two
    /// seconds.
    pub unreachable: Duration,
    /// A broker that did not say for so long whom it hears is forgotten, with all that it said.
    pub forgotten: Duration,
}

/// With the slow profile a message may come a round trip and two repeats of a lost frame later.
pub const fn silences(timing: Timing) -> Silences {
    match timing {
        Timing::Lan => Silences {
            fresh: Duration::from_millis(1_250),
            quiet: Duration::from_millis(1_500),
            line: Duration::from_secs(1),
            unreachable: Duration::from_millis(2_200),
            forgotten: Duration::from_secs(3),
        },
        Timing::Slow => Silences {
            fresh: Duration::from_millis(2_500),
            quiet: Duration::from_secs(3),
            line: Duration::from_secs(3),
            unreachable: Duration::from_secs(5),
            forgotten: Duration::from_secs(6),
        },
    }
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

    #[test]
    fn a_message_that_comes_as_late_as_the_profile_allows_is_no_silence() {
        let beat = Duration::from_secs(1);
        for timing in [Timing::Lan, Timing::Slow] {
            // As late as a message between brokers may be.
            let late = engine(timing).timing.heartbeat;
            let Silences { fresh, quiet, unreachable, forgotten, .. } = silences(timing);
            assert!(beat + late * 2 < fresh && fresh < quiet, "{timing:?}");
            // Another broker is tried first, and looked for five times a second.
            assert!(quiet + late + beat / 5 < unreachable, "{timing:?}");
            assert!(unreachable < forgotten, "{timing:?}");
        }
    }
}
