mod agents;
mod config;
mod end;
mod logins;
mod random;
mod rebuild;
mod report;
mod reserve;
mod unhealed;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::table::Expiring;
use crate::testing::*;
use crate::*;

const DONE: Outcome = Outcome::Done;
const UNCHANGED: Outcome = Outcome::Unchanged;

fn refused(why: Refusal) -> Outcome {
    Outcome::Refused(why)
}

/// Two agents joined and are heard: number 0 and number 1. It is [`BEGIN`].
fn cluster() -> Table {
    let mut table = Table::default();
    for number in [0, 1] {
        let hash = [200 + number as u8; 32];
        let expires = BEGIN.plus(HOUR);
        let name = format!("host{number}");
        let steps = [
            (0, Change::AddJoinToken { hash, expires, joins: Joins::Agent }, DONE),
            (0, Change::AdmitAgent { hash, agent: agent(number), name }, DONE),
            (0, heard(number), DONE),
        ];
        drive(&mut table, steps);
    }
    table
}

/// Applies each change at its time, milliseconds after [`BEGIN`], expects its outcome, and checks
/// the table after each.
fn drive<const N: usize>(table: &mut Table, steps: [(u64, Change, Outcome); N]) {
    for (step, (after, change, expected)) in steps.into_iter().enumerate() {
        let text = format!("step {step}: {change:?}");
        let outcome = table.apply(Command { at: BEGIN.plus(after), change });
        assert_eq!(outcome, expected, "{text}");
        check(table);
    }
}

/// One session, number 1, which ada reserved on agent 0, and which is now in this state.
fn with_session(reports: &[Report]) -> Table {
    let mut table = cluster();
    drive(&mut table, [(0, reserve(1, 0, "k"), Outcome::Reserved(session(1)))]);
    for said in reports {
        drive(&mut table, [(0, report(1, said.clone()), DONE)]);
    }
    table
}

fn heard(number: u64) -> Change {
    let facts = Arc::new(AgentFacts {
        boot: id("b1"),
        public_url: format!("https://host{number}"),
        weight: 1,
        profiles: vec![Profile { name: id("gnome"), title: "GNOME".into() }],
        labels: std::collections::BTreeSet::new(),
        max_sessions: None,
    });
    Change::AgentHeard { agent: agent(number), facts }
}

fn unheard(number: u64) -> Change {
    Change::AgentUnheard { agent: agent(number), since: BEGIN }
}

fn place(number: u64, on: u64) -> Place {
    Place { session: session(number), agent: agent(on), view_key: id(&"a".repeat(32)) }
}

/// Ada's start of any session that will do.
fn reserve(number: u64, on: u64, key: &str) -> Change {
    start(number, on, key, Want::ResumeOrStart { profile: None })
}

fn start(number: u64, on: u64, key: &str, want: Want) -> Change {
    let (user, profile, key) = (id("ada"), id("gnome"), id(key));
    let pool = Some(id("engineering"));
    Change::Reserve { place: place(number, on), user, profile, pool, key, want }
}

fn supersede(old: u64, number: u64, on: u64) -> Change {
    placed_anew(old, number, on, Grounds::Unheard)
}

fn placed_anew(old: u64, number: u64, on: u64, grounds: Grounds) -> Change {
    Change::Supersede { old: session(old), place: place(number, on), grounds }
}

/// Agent 0's report on a session.
fn report(number: u64, report: Report) -> Change {
    Change::Report { session: session(number), agent: agent(0), boot: id("b1"), report }
}

fn running(ever_attached: bool) -> Report {
    Report::Running { ever_attached }
}

fn end(number: u64) -> Change {
    Change::End { session: session(number), by: "ada".into() }
}

fn abandon(number: u64) -> Change {
    Change::Abandon { session: session(number), by: "ada".into() }
}

fn state(table: &Table, number: u64) -> State {
    table.session(session(number)).unwrap().state.clone()
}

fn ended(after: u64, reason: EndReason) -> State {
    State::Ended { at: BEGIN.plus(after), reason }
}

/// What the table says of itself beside its rows is what its rows say.
fn check(table: &Table) {
    let rows = || table.sessions.values();
    let open = || rows().filter(|row| !matches!(row.state, State::Ended { .. }));
    let ids: Vec<_> = rows().map(|row| row.id).collect();
    assert_eq!(ids, table.sessions.keys().copied().collect::<Vec<_>>());

    let by_user: BTreeSet<_> = rows().map(|row| (row.user.clone(), row.id)).collect();
    assert_eq!(by_user, table.by_user.iter().cloned().collect(), "by_user");
    let by_agent: BTreeSet<_> = open().map(|row| (row.agent.clone(), row.id)).collect();
    assert_eq!(by_agent, table.by_agent.iter().cloned().collect(), "by_agent");
    let unsettled: Vec<_> = open().filter(|it| it.state.is_unsettled()).map(|it| it.id).collect();
    assert_eq!(unsettled, table.unsettled.iter().copied().collect::<Vec<_>>(), "unsettled");
    for agent in table.agents.values() {
        let live = rows().filter(|row| row.agent == agent.id && row.state.is_live()).count();
        assert_eq!(agent.live as usize, live, "live sessions of {}", agent.id);
    }
    for row in rows() {
        assert!(table.agent(&row.agent).is_some(), "session {} has no agent", row.id);
    }
    for (key, start) in &table.starts {
        let row = table.session(start.session).unwrap_or_else(|| panic!("{key:?} leads nowhere"));
        assert_eq!(row.user, key.0);
        let last = table.session(table.successor(start.session));
        assert!(last.is_some_and(|last| last.user == key.0), "{key:?} follows to nowhere");
    }
    let expiry = expiry(table);
    assert_eq!(expiry, table.expiry.iter().cloned().collect(), "expiry");
    assert!(expiry.first().is_none_or(|(when, _)| *when > table.now), "something is overdue");
}

/// All that goes by itself, and when, from the rows.
fn expiry(table: &Table) -> BTreeSet<(Timestamp, Expiring)> {
    let sessions = table.sessions.values().filter_map(|row| match &row.state {
        State::Ended { at, .. } => Some((at.plus(ENDED_KEPT_MS), Expiring::Session(row.id))),
        _ => None,
    });
    let starts = table.starts.iter().map(|(key, it)| (it.until, Expiring::Start(key.clone())));
    let tokens =
        table.join_tokens.iter().map(|(hash, it)| (it.expires, Expiring::JoinToken(*hash)));
    let revoked = table.revoked.iter().map(|(jti, until)| (*until, Expiring::Revoked(*jti)));
    let logged_out =
        table.logged_out.iter().map(|(user, it)| (it.until, Expiring::LoggedOut(user.clone())));
    sessions.chain(starts).chain(tokens).chain(revoked).chain(logged_out).collect()
}

#[test]
fn the_wire_version_is_raised_and_never_lowered_and_travels_with_the_table() {
    let mut table = cluster();
    let raise = |to| Change::RaiseWire { to: WireVersion(to) };
    assert!(table.parts().all(|part| !matches!(part, Part::Wire(_))), "older brokers read it");
    drive(&mut table, [(0, raise(1), UNCHANGED), (1, raise(3), DONE), (2, raise(2), UNCHANGED)]);
    assert_eq!(table.wire(), WireVersion(3));
    assert_eq!(table.parts().next(), Some(Part::Wire(WireVersion(3))), "the first to be read");
}
