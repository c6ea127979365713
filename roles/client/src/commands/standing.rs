//! `abide cluster status`: who leads, who lags, how many may yet be lost.

use std::io::{IsTerminal, stdout};
use std::time::Duration;

use abide_api::{Broker, BrokerRole, BrokerTiming, Cluster};
use tokio::time::{MissedTickBehavior, interval};

use super::CommandError;
use super::console::{Format, answer, answer_json, answer_json_line, table, tell};
use crate::api::Api;
use crate::store::Store;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How far a clock may be off and brokers believe it.
const CLOCK_SLACK_MS: u64 = 10 * 60 * 1000;
/// Clears a terminal and goes to its corner (ECMA-48).
const CLEAR: &str = "\x1b[2J\x1b[H";

const DISAGREE: &str = "\nThe brokers do not have the same timing profile: set cluster.timing to the same \
                        in each one's configuration, and restart those that were changed.";

/// Whether one look is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looking {
    /// One.
    Once,
    /// Again every second, until the process is told to stop.
    Steadily,
}

/// Shows the brokers, who leads, and how many may fail.
///
/// # Errors
/// [`CommandError`]; [`CommandError::NobodyLeads`] after one look that found no leader.
pub async fn cluster_status(
    store: &Store,
    format: Format,
    looking: Looking,
) -> Result<(), CommandError> {
    let api = super::api(store)?;
    if looking == Looking::Steadily {
        return watch(&api, format).await;
    }
    let cluster = api.cluster_by_leader().await?;
    super::remember(store, api.brokers())?;
    match format {
        Format::Json => answer_json(&cluster)?,
        Format::Table => answer(&picture(&cluster))?,
    }
    let known = store.cluster()?.and_then(|known| known.trust.fingerprint());
    if let (Some(ca), Format::Table) = (known, format) {
        answer(&format!("The CA's SHA-256: {ca}"))?;
    }
    match cluster.leader {
        Some(_) => Ok(()),
        None => Err(CommandError::NobodyLeads),
    }
}

/// A look a second; what cannot be seen is told, and looked for again.
async fn watch(api: &Api, format: Format) -> Result<(), CommandError> {
    let clear = if stdout().is_terminal() { CLEAR } else { "" };
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        match (api.cluster_by_leader().await, format) {
            (Ok(cluster), Format::Json) => answer_json_line(&cluster)?,
            (Ok(cluster), Format::Table) => answer(&format!("{clear}{}", picture(&cluster)))?,
            (Err(error), _) => tell(&error.to_string()),
        }
    }
}

fn picture(cluster: &Cluster) -> String {
    let header = ["BROKER", "URL", "ROLE", "TIMING", "BEHIND", "HEARD"];
    let rows = cluster.brokers.iter().map(row);
    let warning = if agree(&cluster.brokers) { "" } else { DISAGREE };
    let clocks: String = cluster.brokers.iter().filter_map(wrong_clock).collect();
    format!("{}\n{clocks}{}{warning}", table(header, rows), margin(cluster))
}

/// A line on a broker whose clock is not gone by.
fn wrong_clock(broker: &Broker) -> Option<String> {
    let offset = broker.clock_offset_ms.filter(|it| it.unsigned_abs() > CLOCK_SLACK_MS)?;
    let minutes = offset.unsigned_abs() / 60_000;
    let side = if offset > 0 { "ahead" } else { "behind" };
    Some(format!("The clock of {} is {minutes} min {side}: set it right.\n", broker.url))
}

/// Whether all have the same timing profile.
fn agree(brokers: &[Broker]) -> bool {
    brokers.windows(2).all(|two| two[0].timing == two[1].timing)
}

fn row(broker: &Broker) -> [String; 6] {
    let behind = match broker.lag {
        None => String::new(),
        Some(1) => "1 entry".to_owned(),
        Some(lag) => format!("{lag} entries"),
    };
    let heard = match broker.last_contact_ms {
        None => String::new(),
        Some(ms @ 0..1000) => format!("{ms} ms ago"),
        Some(ms) => format!("{} s ago", ms / 1000),
    };
    let timing = match broker.timing {
        BrokerTiming::Lan => "lan",
        BrokerTiming::Slow => "slow",
    };
    let [role, timing] = [role(broker.role), timing].map(str::to_owned);
    [broker.id.clone(), broker.url.clone(), role, timing, behind, heard]
}

fn role(role: BrokerRole) -> &'static str {
    match role {
        BrokerRole::Leader => "leader",
        BrokerRole::Follower => "follower",
        BrokerRole::Learner => "learner, no vote yet",
        BrokerRole::Joining => "joining",
        BrokerRole::Unreachable => "unreachable",
    }
}

/// The quorum's margin in words.
pub(super) fn margin(cluster: &Cluster) -> String {
    let voters = cluster.voters;
    let needed = voters / 2 + 1;
    match (&cluster.leader, cluster.can_lose) {
        (None, _) => {
            "No broker leads now: sessions go on, none can be started or found.".to_owned()
        }
        (_, 0) => format!(
            "Can lose none: {needed} of {voters} must be there. With one less, sessions go on, but \
             none can be started or found."
        ),
        (_, more) => format!(
            "Can lose {more} more without anybody noticing: {needed} of {voters} must be there."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(leader: Option<&str>, voters: u32, can_lose: u32) -> Cluster {
        Cluster {
            cluster: String::new(),
            answered_by: String::new(),
            leader: leader.map(str::to_owned),
            brokers: Vec::new(),
            generation: 0,
            term: 1,
            voters,
            can_lose,
            clock_problem: None,
        }
    }

    #[test]
    fn the_margin_is_said_in_words() {
        for (cluster, expected) in [
            (cluster(Some("a"), 3, 1), "Can lose 1 more without anybody noticing: 2 of 3"),
            (cluster(Some("a"), 3, 0), "Can lose none: 2 of 3 must be there"),
            (cluster(Some("a"), 1, 0), "Can lose none: 1 of 1"),
            (cluster(None, 3, 0), "No broker leads now"),
        ] {
            assert!(margin(&cluster).starts_with(expected), "{}", margin(&cluster));
        }
    }

    #[test]
    fn what_is_not_known_of_a_broker_stays_empty() {
        let broker = |lag, last_contact_ms| Broker {
            id: "b".to_owned(),
            url: "u".to_owned(),
            role: BrokerRole::Follower,
            lag,
            last_contact_ms,
            node: None,
            timing: BrokerTiming::Lan,
            clock_offset_ms: None,
        };
        let ahead = |clock_offset_ms| Broker { clock_offset_ms, ..broker(None, None) };
        assert_eq!(wrong_clock(&ahead(None)), None);
        assert_eq!(wrong_clock(&ahead(Some(-599_000))), None);
        let said = wrong_clock(&ahead(Some(18_000_000))).unwrap();
        assert_eq!(said, "The clock of u is 300 min ahead: set it right.\n");
        assert_eq!(row(&broker(None, None))[4..], ["", ""]);
        assert_eq!(row(&broker(Some(1), Some(12)))[4..], ["1 entry", "12 ms ago"]);
        assert_eq!(row(&broker(Some(9), Some(4200)))[4..], ["9 entries", "4 s ago"]);
    }

    #[test]
    fn timing_profiles_that_differ_are_pointed_out() {
        let broker = |timing| Broker {
            id: "b".to_owned(),
            url: "u".to_owned(),
            role: BrokerRole::Follower,
            lag: None,
            last_contact_ms: None,
            node: None,
            timing,
            clock_offset_ms: None,
        };
        let with = |timings: [BrokerTiming; 3]| {
            let brokers = timings.map(broker).into();
            picture(&Cluster { brokers, ..cluster(Some("a"), 3, 1) })
        };
        let [lan, slow] = [BrokerTiming::Lan, BrokerTiming::Slow];
        assert!(!with([slow, slow, slow]).contains("the same timing profile"));
        assert!(with([lan, slow, lan]).contains("the same timing profile"));
    }
}
