//! The table as people see it.

use abide_api as api;
use abide_model::{Agent, AgentId, Reach, Session, SessionId, State, Table, Timestamp};
use abide_policy::ClusterConfig;
use abide_ticket::KeyRing;
use abide_wire::agent::{LedgerRow, ledger_row};

use crate::hub::Hub;

/// One session.
pub fn session(table: &Table, hub: &Hub, session: &Session) -> api::Session {
    let (state, ended_at, reason) = state(session);
    let is_over = matches!(state, api::SessionState::Ended | api::SessionState::Lost);
    let unreachable_since = table.unreachable_since(session).filter(|_| !is_over);
    let load = hub.load_of(&session.agent);
    api::Session {
        id: session.id.to_string(),
        user: session.user.to_string(),
        agent: session.agent.to_string(),
        agent_name: agent_name(table, session),
        profile: session.profile.to_string(),
        pool: session.pool.as_ref().map(ToString::to_string),
        state,
        reachable: unreachable_since.is_none() && !is_over,
        unreachable_since: unreachable_since.map(api::Time),
        viewers: load.and_then(|it| it.viewers.get(&session.id).copied()).unwrap_or(0),
        created_at: api::Time(session.created_at),
        ended_at,
        reason,
        verified: true,
    }
}

/// What agents have without a start order that is good: seen by administrators, handed to nobody. Whose
/// they are is the agent's word alone, so it is not said.
pub fn unverified(table: &Table, hub: &Hub, ring: &KeyRing) -> Vec<api::Session> {
    let rows = hub.rows_beyond(|session| table.session(session).is_some());
    let is_bad = |row: &LedgerRow| ring.verify_order(&row.start_order).is_err();
    rows.into_iter()
        .filter(|(_, _, row)| is_bad(row))
        .filter_map(|(agent, session, row)| {
            let state = match row.state? {
                ledger_row::State::Starting(_) => api::SessionState::Starting,
                ledger_row::State::Running(_) => api::SessionState::Running,
                ledger_row::State::Ending(_) => api::SessionState::Ending,
                ledger_row::State::Ended(_) | ledger_row::State::Cancelled(_) => return None,
            };
            let load = hub.load_of(&agent);
            Some(api::Session {
                id: session.to_string(),
                user: String::new(),
                agent: agent.to_string(),
                agent_name: table.agent(&agent).map_or_else(String::new, |it| it.name.clone()),
                profile: String::new(),
                pool: None,
                state,
                reachable: true,
                unreachable_since: None,
                viewers: load.and_then(|it| it.viewers.get(&session).copied()).unwrap_or(0),
                created_at: made_at(session),
                ended_at: None,
                reason: None,
                verified: false,
            })
        })
        .collect()
}

/// When a session's id was made: it says so itself, if it is of version 7.
fn made_at(session: SessionId) -> api::Time {
    let (seconds, nanos) = session.0.get_timestamp().map_or((0, 0), |it| it.to_unix());
    api::Time(Timestamp(seconds * 1000 + u64::from(nanos) / 1_000_000))
}

/// What a status token shows.
pub fn status(table: &Table, session: &Session) -> api::SessionStatus {
    let (state, _, reason) = state(session);
    let is_over = matches!(state, api::SessionState::Ended | api::SessionState::Lost);
    let unreachable_since = table.unreachable_since(session).filter(|_| !is_over);
    api::SessionStatus {
        id: session.id.to_string(),
        state,
        reachable: unreachable_since.is_none() && !is_over,
        unreachable_since: unreachable_since.map(api::Time),
        reason,
    }
}

/// Where a session's life stands, when it ended, and why.
fn state(session: &Session) -> (api::SessionState, Option<api::Time>, Option<String>) {
    use api::SessionState::{Ended, Ending, Lost, Reserved, Running, Starting};
    match &session.state {
        State::Reserved => (Reserved, None, None),
        State::Starting => (Starting, None, None),
        State::Running => (Running, None, None),
        State::Ending { by } => (Ending, None, Some(format!("ended by {by}"))),
        State::Superseded { by } => {
            (Ended, None, Some(format!("its host did not answer; replaced by {by}")))
        }
        State::Ended { at, reason } => {
            let state = if reason.is_loss() { Lost } else { Ended };
            (state, Some(api::Time(*at)), Some(reason.to_string()))
        }
    }
}

fn agent_name(table: &Table, session: &Session) -> String {
    table.agent(&session.agent).map_or_else(String::new, |agent| agent.name.clone())
}

/// How many reservations an agent has not begun.
pub fn reserved_on(table: &Table, agent: &AgentId) -> u32 {
    let reserved = table.sessions_on(agent).filter(|it| it.state == State::Reserved).count();
    u32::try_from(reserved).unwrap_or(u32::MAX)
}

/// One agent.
pub fn agent(table: &Table, hub: &Hub, policy: &ClusterConfig, agent: &Agent) -> api::Agent {
    let facts = agent.facts.as_deref();
    let unreachable_since = match agent.reach {
        Reach::Reachable => None,
        Reach::Unreachable { since } => Some(api::Time(since)),
    };
    let reserved = reserved_on(table, &agent.id);
    let reported = hub.load_of(&agent.id);
    api::Agent {
        id: agent.id.to_string(),
        name: agent.name.clone(),
        url: facts.map(|facts| facts.public_url.clone()),
        reachable: unreachable_since.is_none(),
        unreachable_since,
        weight: policy.weight(&agent.name, facts.map_or(1, |facts| facts.weight)),
        sessions: agent.live.saturating_sub(reserved),
        reserved,
        viewers: reported.as_ref().map_or(0, |it| it.viewers.values().sum()),
        profiles: facts.map_or_else(Vec::new, |facts| {
            facts.profiles.iter().map(|profile| profile.name.to_string()).collect()
        }),
        labels: facts
            .map_or_else(Vec::new, |facts| facts.labels.iter().map(ToString::to_string).collect()),
        failed_at: agent.failed_at.map(api::Time),
        load: reported.map(|it| api::AgentLoad {
            at: api::Time(it.at),
            memory_available: it.load.memory_available,
            memory_total: it.load.memory_total,
            cpus: it.load.cpus,
            load1: f64::from(it.load.load1_milli) / 1000.0,
            cpu_pressure: f64::from(it.load.cpu_pressure_centi) / 100.0,
            memory_pressure: f64::from(it.load.memory_pressure_centi) / 100.0,
            clock_offset_ms: u64::from(it.load.clock_offset_ms),
        }),
    }
}
