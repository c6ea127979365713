//! Drained agents whose time is over.

use std::sync::Arc;

use abide_model::{Agent, AtDeadline, Change, Drain, SessionId, State, Table, Timestamp};

/// The sessions that are still on an agent after its drain's deadline, and are to be ended by its plan.
/// Also of agents that nobody hears: they do it when they are heard again.
pub fn overdue(
    table: &Table,
    now: Timestamp,
) -> impl Iterator<Item = (&Arc<Agent>, SessionId, Change)> {
    let is_due = move |drain: &Drain| {
        drain.then == AtDeadline::End && drain.deadline.is_some_and(|at| at <= now)
    };
    let due = table.agents().filter(move |agent| agent.drain.as_deref().is_some_and(is_due));
    due.flat_map(|agent| {
        let by: Arc<str> = format!("the maintenance of {}", agent.name).into();
        let goes_on = |state: &State| state.is_live() && !matches!(state, State::Ending { .. });
        table.sessions_on(&agent.id).filter(move |it| goes_on(&it.state)).map(move |session| {
            (agent, session.id, Change::End { session: session.id, by: Arc::clone(&by) })
        })
    })
}
