//! What must hold after a round: what was acknowledged is there, once, on every broker and on its
//! agent.

use std::collections::BTreeSet;
use std::time::Duration;

use abide_api::{Session, SessionState};
use abide_cluster::{Cluster, until};

use crate::people::People;

/// What was found wrong.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Audit {
    /// Acknowledged sessions that a broker's table has not, or that do not live on their agent.
    pub lost: Vec<String>,
    /// Keepers beyond the one that a session may have, or of no session at all.
    pub duplicates: Vec<String>,
}

/// What is under way when a round ends has this long to come to rest.
const REST: Duration = Duration::from_secs(30);

/// Looks until all is as it must be, or stays wrong.
///
/// `living` are the sessions whose start was acknowledged and whose end nobody asked for. Of the
/// starts that failed, `unheard` many, each may have left one session that nobody heard of.
///
/// # Errors
/// When a broker does not answer.
pub async fn audit(
    cluster: &Cluster,
    people: &People,
    living: &BTreeSet<String>,
    unheard: usize,
) -> anyhow::Result<Audit> {
    let mut last = Audit::default();
    let clean = until("all is at rest", REST, async || {
        match look(cluster, people, living, unheard).await {
            Ok(found) => {
                let clean = found.lost.is_empty() && found.duplicates.is_empty();
                Some(clean).filter(|&clean| clean).map(drop)
            }
            Err(_) => None,
        }
    });
    if clean.await.is_err() {
        last = look(cluster, people, living, unheard).await?;
    }
    Ok(last)
}

async fn look(
    cluster: &Cluster,
    people: &People,
    living: &BTreeSet<String>,
    unheard: usize,
) -> anyhow::Result<Audit> {
    let mut found = Audit::default();
    let kept: Vec<(String, String)> = cluster
        .agents()
        .iter()
        .flat_map(|agent| agent.keepers().into_iter().map(|it| (it.session, agent.id.clone())))
        .collect();
    for broker in 0..people.brokers() {
        let admin = people.at(broker).log_in(cluster.admin()).await?;
        let table = admin.sessions().await?.sessions;
        for id in living {
            let row = table.iter().find(|it| it.id == *id && it.state == SessionState::Running);
            if row.is_none_or(|row| !kept.contains(&(id.clone(), row.agent.clone()))) {
                found.lost.push(format!("{id}, asked at broker {broker}"));
            }
        }
        let running: Vec<&Session> =
            table.iter().filter(|it| it.state == SessionState::Running).collect();
        for (id, agent) in &kept {
            if !running.iter().any(|it| it.id == *id) {
                found
                    .duplicates
                    .push(format!("{id} lives on agent {agent}, not at broker {broker}"));
            }
        }
        let surplus = running.iter().filter(|it| !living.contains(&it.id));
        for session in surplus.skip(unheard) {
            found.duplicates.push(format!("{} of {}: nobody started it", session.id, session.user));
        }
    }
    let mut seen = BTreeSet::new();
    for (id, _) in kept.iter().filter(|(id, _)| !seen.insert(id.clone())) {
        found.duplicates.push(format!("{id} is kept twice"));
    }
    Ok(found)
}
