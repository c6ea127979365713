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
/// What a look may take: who watches wants to hear soon that nobody answers.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
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
        return watch(&api.with_patience(ANSWER_WITHIN), format).await;
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
    let (clear, between) = if stdout().is_terminal() { (CLEAR, "") } else { ("", "\n") };
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        match (api.cluster_by_leader().await, format) {
            (Ok(cluster), Format::Json) => answer_json_line(&cluster)?,
            (Ok(cluster), Format::Table) => {
                answer(&format!("{clear}{}{between}", picture(&cluster)))?
            }
            (Err(error), _) => tell(&error.to_string()),
        }
    }
}

fn picture(cluster: &Cluster) -> String {
    let header = ["BROKER", "ROLE", "TIMING", "WIRE", "BEHIND", "HEARD", "ID"];
    let mut brokers: Vec<_> = cluster.brokers.iter().collect();
    brokers.sort_by(|a, b| a.url.cmp(&b.url));
    let rows = brokers.into_iter().map(row);
    let mut picture = format!("{}\n\n{}", table(header, rows), margin(cluster));
    if cluster.leader.as_ref().is_some_and(|leader| *leader != cluster.answered_by) {
        picture += "\nThe leader did not answer. This is what another broker knows, which is less.";
    }
    if !agree(&cluster.brokers) {
        picture += DISAGREE;
    }
    picture.extend(cluster.brokers.iter().filter_map(wrong_clock));
    picture.extend(wire(cluster));
    picture
}

/// The wire version that the brokers have come to, and what holds up a newer one.
fn wire(cluster: &Cluster) -> Option<String> {
    let version = cluster.wire?;
    let problem = cluster.wire_problem.as_ref().map(|problem| format!(" {problem}"));
    Some(format!("\nWire version {version}.{}", problem.unwrap_or_default()))
}

/// A line on a broker whose clock is not gone by.
fn wrong_clock(broker: &Broker) -> Option<String> {
    let offset = broker.clock_offset_ms.filter(|it| it.unsigned_abs() > CLOCK_SLACK_MS)?;
    let minutes = offset.unsigned_abs() / 60_000;
    let side = if offset > 0 { "ahead" } else { "behind" };
    Some(format!("\nThe clock of {} is {minutes} min {side}: set it right.", broker.url))
}

/// Whether all have the same timing profile.
fn agree(brokers: &[Broker]) -> bool {
    brokers.windows(2).all(|two| two[0].timing == two[1].timing)
}

fn row(broker: &Broker) -> [String; 7] {
    // The leader is the measure of the others.
    let follows = broker.role != BrokerRole::Leader;
    let behind = match broker.lag.filter(|_| follows) {
        None => String::new(),
        Some(0) => "nothing".to_owned(),
        Some(1) => "1 entry".to_owned(),
        Some(lag) => format!("{lag} entries"),
    };
    let heard = match broker.last_contact_ms.filter(|_| follows) {
        None => String::new(),
        Some(ms @ 0..1000) => format!("{ms} ms ago"),
        Some(ms) => format!("{} s ago", ms / 1000),
    };
    let timing = match broker.timing {
        BrokerTiming::Lan => "lan",
        BrokerTiming::Slow => "slow",
    };
    // Whoever answers names a voter a follower also where it cannot tell whether that one lives.
    let role = match (broker.role, broker.last_contact_ms) {
        (BrokerRole::Follower, None) => "not known",
        (role, _) => self::role(role),
    };
    let [role, timing] = [role, timing].map(str::to_owned);
    let wire = broker.wire.map_or_else(String::new, |newest| newest.to_string());
    [broker.url.clone(), role, timing, wire, behind, heard, broker.id.clone()]
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
    let (voters, can_lose) = (cluster.voters, cluster.can_lose);
    let needed = voters / 2 + 1;
    let there = needed + can_lose;
    match (&cluster.leader, voters, can_lose) {
        (None, 0 | 1, _) => {
            "The broker does not lead now: desktops go on, none can be started or found.".to_owned()
        }
        (None, ..) => format!(
            "No broker leads now: desktops go on, none can be started or found. {needed} of {voters} \
             brokers must be there and reach each other."
        ),
        (_, 1, _) => {
            "Can lose none: it is the only broker. Without it, desktops go on, but none can be \
             started or found."
                .to_owned()
        }
        (_, _, 0) => format!(
            "Can lose none: {there} of {voters} brokers are there, and {needed} must be. With one less, \
             desktops go on, but none can be started or found."
        ),
        _ => format!(
            "Can lose {can_lose} more: {there} of {voters} brokers are there, and {needed} must be."
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
            elections_started: None,
            elections_won: None,
            clock_problem: None,
            wire: None,
            wire_problem: None,
            notice: None,
        }
    }

    #[test]
    fn the_margin_is_said_in_words() {
        for (cluster, expected) in [
            (cluster(Some("a"), 3, 1), "Can lose 1 more: 3 of 3 brokers are there, and 2 must be"),
            (cluster(Some("a"), 3, 0), "Can lose none: 2 of 3 brokers are there, and 2 must be"),
            (cluster(Some("a"), 5, 1), "Can lose 1 more: 4 of 5 brokers are there, and 3 must be"),
            (cluster(Some("a"), 1, 0), "Can lose none: it is the only broker"),
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
            wire: None,
        };
        let ahead = |clock_offset_ms| Broker { clock_offset_ms, ..broker(None, None) };
        assert_eq!(wrong_clock(&ahead(None)), None);
        assert_eq!(wrong_clock(&ahead(Some(-599_000))), None);
        let said = wrong_clock(&ahead(Some(18_000_000))).unwrap();
        assert_eq!(said, "\nThe clock of u is 300 min ahead: set it right.");
        assert_eq!(row(&broker(None, None))[1..6], ["not known", "lan", "", "", ""]);
        assert_eq!(row(&broker(Some(1), Some(12)))[4..6], ["1 entry", "12 ms ago"]);
        assert_eq!(row(&broker(Some(9), Some(4200)))[4..6], ["9 entries", "4 s ago"]);
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
            wire: None,
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
