//! Making a lost table anew from what the agents report.
//!
//! ```text
//! mark "recover" ─▶ begin ─▶ agents greet: taken back, with the keys that they remember
//!                            driver: adopts their sessions, notes who has reported
//!                            all expected have, or an administrator says so ─▶ sessions are placed
//! ```
//! Each step works from the table and the links, so it goes on under another leader.

use std::collections::HashMap;

use abide_api::ProblemKind;
use abide_model::{AgentId, Change, Fence, Outcome, SessionId, Table, Timestamp};
use abide_reconcile::{adopted, state_of};
use abide_ticket::KeyRing;
use abide_wire::agent::{ClusterView, LedgerRow};
use abide_wire::report_of;
use tracing::{error, info, warn};

use crate::broker::Broker;
use crate::formation::{Files, Mark};
use crate::hub::Greeting;
use crate::pair;
use crate::problem::Refused;
use crate::rivals;
use crate::stream::chain;

/// Characters of an agent's name that go into the table.
const MAX_NAME: usize = 64;
/// Keys that one agent may remember; more than any cluster ever had.
const MAX_KEYS: usize = 1_000;

/// Whether this broker's first start is to make the table anew.
pub fn is_due(broker: &Broker) -> bool {
    matches!(files(broker).marked(), Ok(Some(Mark::Recover)))
}

/// Begins it; whether that is done.
pub async fn begin(broker: &Broker) -> bool {
    match broker.propose(Change::BeginRebuild).await {
        Ok(outcome) => {
            if outcome == Outcome::Done {
                warn!("The table is made anew from what the agents report; nothing is placed yet");
            }
            if let Err(cause) = files(broker).consume() {
                let cause: &dyn std::error::Error = &cause;
                warn!(cause, "The mark of the rebuild is still there");
            }
            true
        }
        Err(cause) => {
            warn!(cause = chain(&cause), "The rebuild could not begin yet");
            false
        }
    }
}

fn files(broker: &Broker) -> Files {
    Files::new(&broker.settings.identity_dir)
}

/// Takes an agent back, and the keys of the lost table that it remembers. Its certificate was checked; the
/// keys' are here.
pub async fn take_back(broker: &Broker, agent: &AgentId, name: &str, told: &ClusterView) {
    let table = broker.raft.latest();
    if table.0.rebuild().is_none() {
        return;
    }
    let mut changes = remembered(broker, told);
    if table.0.agent(agent).is_none() {
        let name = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
        changes.push(Change::RestoreAgent { agent: agent.clone(), name });
    }
    for change in changes {
        if let Err(cause) = broker.propose(change).await {
            // Its stream is refused, or it is looked at again when it comes anew.
            warn!(%agent, cause = chain(&cause), "An agent could not be taken back whole");
        }
    }
}

/// The keys that are certified and that the table does not have.
fn remembered(broker: &Broker, told: &ClusterView) -> Vec<Change> {
    let table = broker.raft.latest();
    let Some(rebuild) = table.0.rebuild() else { return Vec::new() };
    let current = told.key_certificates.iter().map(|it| (it, None));
    let gone = told.withdrawn.iter().map(|it| {
        let removed_at = (!it.former).then_some(Timestamp(it.at_ms));
        (&it.certificate, removed_at)
    });
    let mut changes = Vec::new();
    for (certificate, removed_at) in current.chain(gone).take(MAX_KEYS) {
        let mut ring = KeyRing::new(broker.identity.cluster(), broker.authority.root_key());
        let key = ring.admit(certificate).ok().and_then(|_| ring.keys().next());
        let Some((_, key)) = key else {
            warn!("An agent remembers a key that the cluster's root did not certify");
            continue;
        };
        let is_known = match removed_at {
            Some(_) => table.0.was_removed(&key.broker),
            None => rebuild.keys.contains(certificate.as_str()),
        };
        if !is_known {
            let (broker, certificate) = (key.broker.clone(), certificate.as_str().into());
            changes.push(Change::RestoreKey { broker, certificate, removed_at });
        }
    }
    changes
}

/// Goes above what an agent obeyed, or was told of the cluster, before this table was made.
pub async fn rise_above(
    broker: &Broker,
    table: &Table,
    agent: &AgentId,
    greeting: &Greeting,
    fence: Fence,
) {
    let seen = greeting.version;
    let view = broker.cluster_view(table).version.unwrap_or_default();
    let knows_more = (seen.generation, seen.claimant, seen.revision)
        > (view.generation, view.claimant, view.revision);
    if greeting.fence > fence || knows_more {
        rise(broker, agent, greeting.fence.generation.max(seen.generation)).await;
    }
}

/// Raises the generation above what an agent has `seen`; whether it is above it now. Only a table that was
/// made anew, or a broker that is alone, can find agents that obeyed what it does not know of; any other
/// meets them because it does not lead any more.
pub async fn rise(broker: &Broker, agent: &AgentId, seen: u64) -> bool {
    if broker.fence().is_some_and(|fence| fence.generation > seen) {
        return true;
    }
    let is_alone = broker.is_alone();
    let table = broker.raft.latest();
    if broker.settings.pair.is_some() {
        // One of a pair that finds itself alone may not be: the other one's claim is not to be outbid. But
        // where a person accepted that what others know is lost, an agent may come later that knows it.
        let is_new = table.0.rebuild().is_some_and(|it| !it.reported.contains(agent));
        if !is_new {
            return false;
        }
        if broker.raft.claim().generation > 0 {
            return is_alone && pair::outbid(broker, seen).await;
        }
    } else if !is_alone && table.0.rebuild().is_none() {
        return false;
    }
    if is_rivals(broker, agent, seen).await {
        if broker.rivals.meet(seen) {
            error!(%agent, "Giving in: {}", rivals::told(seen));
        }
        return false;
    }
    match broker.commit(Change::RaiseGeneration { to: seen + 1 }).await {
        Ok(_) => {
            broker.rivals.pass(agent);
            warn!(generation = seen + 1, "Generation raised above what an agent had seen");
            true
        }
        Err(cause) => {
            warn!(cause = chain(&cause), "The generation cannot be raised");
            false
        }
    }
}

/// Whether another group gave the agent what it has seen. A forced takeover has its own way of settling that.
async fn is_rivals(broker: &Broker, agent: &AgentId, seen: u64) -> bool {
    let is_forced = broker.raft.claim().generation > 0;
    if is_forced || broker.raft.latest().0.rebuild().is_none() || !broker.rivals.has_passed(agent) {
        return false;
    }
    // This group's own newer leader may have raised it.
    broker.table().await.is_ok() && broker.generation() < seen
}

/// Notes the agents all of whose sessions are in the table. For the leader.
pub async fn note_reported(broker: &Broker, table: &Table) {
    let Some(rebuild) = table.rebuild() else { return };
    let new = table.agents().filter(|agent| !rebuild.reported.contains(&agent.id));
    for agent in new {
        let Some((_, rows)) = broker.hub.ledger(&agent.id) else { continue };
        let open = open_rows(table, &rows);
        if open.iter().any(|(_, row)| is_ordered(broker, row)) {
            continue;
        }
        info!(agent = %agent.id, name = agent.name, unverified = open.len(), "Agent has reported");
        let change = Change::AgentRebuilt { agent: agent.id.clone() };
        if let Err(cause) = broker.commit(change).await {
            warn!(cause = chain(&cause), "That an agent has reported could not be noted");
        }
    }
}

fn is_ordered(broker: &Broker, row: &LedgerRow) -> bool {
    broker.verifier.ring().verify_order(&row.start_order).is_ok()
}

/// The rows of a ledger that live and are not in the table.
fn open_rows<'a>(
    table: &Table,
    rows: &'a HashMap<SessionId, LedgerRow>,
) -> Vec<(SessionId, &'a LedgerRow)> {
    let lives = |row: &LedgerRow| report_of(row).is_ok_and(|it| state_of(&it).is_some());
    rows.iter()
        .filter(|(session, row)| table.session(**session).is_none() && lives(row))
        .map(|(session, row)| (*session, row))
        .collect()
}

/// How many sessions an agent has that nobody can vouch for.
pub fn unverified(broker: &Broker, table: &Table, agent: &AgentId) -> usize {
    let Some((_, rows)) = broker.hub.ledger(agent) else { return 0 };
    let open = open_rows(table, &rows);
    open.iter().filter(|(_, row)| !is_ordered(broker, row)).count()
}

/// Takes in what an agent lists without an order that is good, on a person's word; how many sessions.
///
/// # Errors
/// A session could not be committed; those before it are in the table.
pub async fn confirm(broker: &Broker, agent: &AgentId) -> Result<u32, Refused> {
    let table = broker.table().await?;
    let rows = broker.hub.ledger(agent).map(|(_, rows)| rows).unwrap_or_default();
    let mut taken = 0;
    for (session, row) in open_rows(&table.0, &rows) {
        let order = KeyRing::read_order(&row.start_order).ok();
        let report = report_of(row).ok().and_then(|it| state_of(&it));
        let described = match (order, report, row.boot_id.parse()) {
            (Some(order), Some(state), Ok(boot)) => adopted(order, agent, session, boot, state),
            _ => None,
        };
        let Some(described) = described else {
            warn!(%agent, %session, "A session's order says nothing of it: it is left alone");
            continue;
        };
        info!(%agent, %session, user = %described.user, "Adopting a session on a person's word");
        let change = Change::Adopt(described.into());
        if broker.propose(change).await? == Outcome::Done {
            taken += 1;
        }
    }
    Ok(taken)
}

/// What whoever wants a new session is told meanwhile.
pub fn refused(table: &Table) -> Refused {
    let reported = table.rebuild().map_or(0, |it| it.reported.len());
    let missing = table.missing();
    let waits_for = if missing.is_empty() {
        "an administrator says that it may go on".to_owned()
    } else {
        format!("{} have reported too", missing.join(", "))
    };
    let detail = format!(
        "The brokers have lost their records and ask the desktop hosts which desktops run: {reported} \
         have answered. A desktop that is found can be used at once; new ones are started when {waits_for}."
    );
    ProblemKind::Rebuilding.because(detail).into()
}
