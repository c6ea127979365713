//! What a cluster lacks to be whole, in words.

use abide_api::{Agent, BrokerRole, Cluster};
use anyhow::ensure;

/// Every one of so many brokers votes and is heard, and one of them leads.
///
/// # Errors
/// Who is missing, and how.
pub fn ensure_all_vote(now: &Cluster, brokers: usize) -> anyhow::Result<()> {
    let is_whole = |role| matches!(role, BrokerRole::Leader | BrokerRole::Follower);
    let lacking: Vec<String> = now
        .brokers
        .iter()
        .filter(|it| !is_whole(it.role))
        .map(|it| {
            let heard =
                it.last_contact_ms.map_or("never heard".into(), |ms| format!("heard {ms} ms ago"));
            format!("{} at {} is {:?}, {heard}, lag {:?}", it.id, it.url, it.role, it.lag)
        })
        .collect();
    let by = &now.answered_by;
    ensure!(now.leader.is_some(), "nobody leads, says {by}; {}", lacking.join("; "));
    ensure!(lacking.is_empty(), "{by} says: {}", lacking.join("; "));
    let (voters, known) = (now.voters, now.brokers.len());
    ensure!(
        usize::try_from(voters)? == brokers && known == brokers,
        "{by} says: {voters} vote of {known} known; there are {brokers}"
    );
    Ok(())
}

/// Every one of so many agents is heard.
///
/// # Errors
/// Who is not.
pub fn ensure_all_heard(agents: &[Agent], wanted: usize) -> anyhow::Result<()> {
    let silent = agents.iter().filter(|it| !it.reachable);
    let silent: Vec<&str> = silent.map(|it| it.name.as_str()).collect();
    ensure!(silent.is_empty(), "not heard: {}", silent.join(", "));
    ensure!(agents.len() == wanted, "{} agents are known; there are {wanted}", agents.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use abide_api::{Broker, BrokerTiming};

    fn broker(id: &str, role: BrokerRole) -> Broker {
        Broker {
            id: id.into(),
            url: format!("https://{id}"),
            role,
            lag: None,
            last_contact_ms: Some(70),
            node: Some(1),
            timing: BrokerTiming::Lan,
            clock_offset_ms: None,
            wire: None,
        }
    }

    fn cluster(second: BrokerRole, voters: u32, leader: Option<&str>) -> Cluster {
        Cluster {
            cluster: String::new(),
            answered_by: "b1".into(),
            leader: leader.map(Into::into),
            brokers: vec![broker("b1", BrokerRole::Leader), broker("b2", second)],
            generation: 0,
            term: 1,
            voters,
            can_lose: 0,
            elections_started: None,
            elections_won: None,
            clock_problem: None,
            wire: None,
            wire_problem: None,
            notice: None,
        }
    }

    #[test]
    fn whoever_is_missing_is_named() {
        let all = ensure_all_vote(&cluster(BrokerRole::Follower, 2, Some("b1")), 2);
        all.unwrap();
        for (now, word) in [
            (
                cluster(BrokerRole::Learner, 1, Some("b1")),
                "b2 at https://b2 is Learner, heard 70 ms",
            ),
            (cluster(BrokerRole::Unreachable, 2, None), "nobody leads"),
            (cluster(BrokerRole::Follower, 1, Some("b1")), "1 vote of 2 known"),
        ] {
            let said = ensure_all_vote(&now, 2).unwrap_err().to_string();
            assert!(said.contains(word), "{said}");
        }
    }
}
