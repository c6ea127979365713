//! What an agent says, and leaves out, for the table.

use std::sync::Arc;

use abide_model::{
    AgentFacts, AgentId, BootId, Change, EndReason, Reach, Report, Session, SessionId, State, Table,
};
use abide_ticket::StartOrder;

/// What is to be done about one row of an agent's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The table knows it so.
    Known,
    /// To be committed: it says something new.
    News(Change),
    /// It is over, here and there, and nobody can start it again: the agent need not keep it.
    Forget,
    /// The table has this session on that other agent. Nothing is done.
    Foreign(AgentId),
    /// The table does not have it, and it lives, in this state: to be adopted, if a broker of this
    /// cluster ordered it.
    Unknown(State),
}

/// Where an end is recorded that this table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// In every table that the cluster could go on from.
    Everywhere,
    /// Perhaps only here: one of a pair went on alone. The other one could go on too, from a table in which the
    /// session is still reserved; then the agent's row is all that keeps it from being started again.
    Here,
}

/// Judges one row of an agent's ledger: where the agent says that the session stands, and the boot it
/// was started in.
pub fn hear(
    table: &Table,
    agent: &AgentId,
    session: SessionId,
    report: Report,
    boot: BootId,
    recorded: Recorded,
) -> Heard {
    let Some(known) = table.session(session) else {
        // One that is over, nobody here ever knew of, or remembers.
        return state_of(&report).map_or(Heard::Forget, Heard::Unknown);
    };
    if known.agent != *agent {
        return Heard::Foreign(known.agent.clone());
    }
    if known.learns_from(&report) {
        return Heard::News(Change::Report { session, agent: agent.clone(), boot, report });
    }
    let is_settled = matches!(known.state, State::Ended { .. }) && recorded == Recorded::Everywhere;
    match report {
        Report::Ended { .. } | Report::Cancelled if is_settled => Heard::Forget,
        _ => Heard::Known,
    }
}

/// What follows from it that an agent in the boot `now` does not list a session that the table has there.
pub fn miss(session: &Session, now: &BootId) -> Option<Change> {
    match (&session.state, &session.boot) {
        (State::Starting | State::Running | State::Ending { .. }, Some(was)) if was != now => {
            let reason = EndReason::LostToBoot { was: was.clone(), now: now.clone() };
            Some(Change::Report {
                session: session.id,
                agent: session.agent.clone(),
                boot: was.clone(),
                report: Report::Ended { reason },
            })
        }
        // The same boot, and no proof of anything.
        (State::Starting | State::Running, _) if session.unlisted_since.is_none() => {
            Some(Change::Unlisted { session: session.id })
        }
        _ => None,
    }
}

/// What follows from it that an agent is heard, and says this of itself.
pub fn welcome(table: &Table, agent: &AgentId, facts: &Arc<AgentFacts>) -> Option<Change> {
    let is_known = table
        .agent(agent)
        .is_some_and(|it| it.reach == Reach::Reachable && it.facts.as_ref() == Some(facts));
    let heard = || Change::AgentHeard { agent: agent.clone(), facts: Arc::clone(facts) };
    (!is_known).then(heard)
}

/// The row of a session that an agent lists and the table does not have, as its order describes it; `None`
/// if the order is for another session, or another agent.
pub fn adopted(
    order: StartOrder,
    agent: &AgentId,
    session: SessionId,
    boot: BootId,
    state: State,
) -> Option<Session> {
    (order.session == session && order.agent == *agent).then_some(Session {
        id: session,
        user: order.user,
        agent: order.agent,
        profile: order.profile,
        pool: order.pool,
        key: order.idempotency_key,
        view_key: order.view_key,
        created_at: order.created_at,
        boot: Some(boot),
        state,
        unlisted_since: None,
    })
}

/// Where a session stands that the table does not know; `None` if it is over.
pub fn state_of(report: &Report) -> Option<State> {
    match report {
        Report::Starting => Some(State::Starting),
        Report::Running { .. } => Some(State::Running),
        Report::Ending => Some(State::Ending { by: "the agent".into() }),
        Report::Ended { .. } | Report::Cancelled => None,
    }
}
