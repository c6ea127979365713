//! The table as people see it.

use std::sync::Arc;

use abide_api as api;
use abide_model::{
    Agent, AgentId, AtDeadline, Drain, Reach, Session, SessionId, State, Table, Timestamp, UserName,
};
use abide_policy::ClusterConfig;
use abide_ticket::KeyRing;
use abide_wire::agent::{LedgerRow, ledger_row};

use crate::broker::Broker;
use crate::hub::Hub;
use crate::listing::{Misunderstood, Page, Question, Row};

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

/// The sessions that a question fits: one person's, or everybody's and those that no broker ordered.
///
/// # Errors
/// The question goes on after a session that is not there.
pub fn sessions(
    broker: &Broker,
    table: &Table,
    of: Option<&UserName>,
    question: &Question,
) -> Result<api::Sessions, Misunderstood> {
    let (unverified, known): (_, Vec<&Arc<Session>>) = match of {
        None => {
            let unverified = unverified(table, &broker.hub, &broker.verifier.ring());
            (unverified, table.sessions().rev().collect())
        }
        Some(user) => (Vec::new(), table.sessions_of(user).rev().collect()),
    };
    let ids: Vec<String> = known.iter().map(|row| row.id.to_string()).collect();
    let viewers = broker.hub.viewers();
    let row = |at: usize| match at.checked_sub(unverified.len()) {
        None => unverified_row(&unverified[at]),
        Some(at) => Row {
            id: &ids[at],
            viewers: viewers.get(&known[at].id).copied().unwrap_or(0),
            ..known_row(table, known[at])
        },
    };
    let Page { rows, total, counts } = question.answer(row, unverified.len() + known.len())?;
    let shown = rows.into_iter().map(|at| match at.checked_sub(unverified.len()) {
        None => unverified[at].clone(),
        Some(at) => session(table, &broker.hub, known[at]),
    });
    let total = u64::try_from(total).unwrap_or(u64::MAX);
    Ok(api::Sessions { sessions: shown.collect(), total: Some(total), counts: Some(counts) })
}

fn known_row<'a>(table: &'a Table, session: &'a Session) -> Row<'a> {
    let state = session_state(session);
    let is_over = matches!(state, api::SessionState::Ended | api::SessionState::Lost);
    Row {
        id: "",
        user: session.user.as_str(),
        agent: session.agent.as_str(),
        agent_name: table.agent(&session.agent).map_or("", |agent| &*agent.name),
        profile: session.profile.as_str(),
        state,
        reachable: !is_over && table.unreachable_since(session).is_none(),
        verified: true,
        viewers: 0,
    }
}

fn unverified_row(session: &api::Session) -> Row<'_> {
    Row {
        id: &session.id,
        user: &session.user,
        agent: &session.agent,
        agent_name: &session.agent_name,
        profile: &session.profile,
        state: session.state,
        reachable: session.reachable,
        verified: session.verified,
        viewers: session.viewers,
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

/// Where a session's life stands.
pub fn session_state(session: &Session) -> api::SessionState {
    match &session.state {
        State::Reserved => api::SessionState::Reserved,
        State::Starting => api::SessionState::Starting,
        State::Running => api::SessionState::Running,
        State::Ending { .. } => api::SessionState::Ending,
        State::Ended { reason, .. } if reason.is_loss() => api::SessionState::Lost,
        State::Superseded { .. } | State::Ended { .. } => api::SessionState::Ended,
    }
}

/// Where a session's life stands, when it ended, and why.
fn state(session: &Session) -> (api::SessionState, Option<api::Time>, Option<String>) {
    let (at, reason) = match &session.state {
        State::Reserved | State::Starting | State::Running => (None, None),
        State::Ending { by } => (None, Some(format!("ended by {by}"))),
        State::Superseded { by } => {
            (None, Some(format!("its host did not answer; replaced by {by}")))
        }
        State::Ended { at, reason } => (Some(api::Time(*at)), Some(reason.to_string())),
    };
    (session_state(session), at, reason)
}

fn agent_name(table: &Table, session: &Session) -> String {
    table.agent(&session.agent).map_or_else(String::new, |agent| agent.name.clone())
}

/// How many reservations an agent has not begun.
pub fn reserved_on(table: &Table, agent: &AgentId) -> u32 {
    let reserved = table.sessions_on(agent).filter(|it| it.state == State::Reserved).count();
    u32::try_from(reserved).unwrap_or(u32::MAX)
}

/// An agent's drain.
pub fn drain(drain: &Drain) -> api::Drain {
    let Drain { by, since, deadline, message, then } = drain;
    api::Drain {
        by: by.to_string(),
        since: api::Time(*since),
        deadline: deadline.map(api::Time),
        message: (!message.is_empty()).then(|| message.to_string()),
        then: match then {
            AtDeadline::Keep => api::AtDeadline::Keep,
            AtDeadline::End => api::AtDeadline::End,
        },
    }
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
        max_sessions: policy.most_sessions(None, &agent.name, facts.and_then(|it| it.max_sessions)),
        drain: agent.drain.as_deref().map(drain),
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
