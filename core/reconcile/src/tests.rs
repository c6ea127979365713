//! One session against one row of a ledger.

use std::sync::Arc;
use std::time::Duration;

use abide_model::{
    AgentFacts, AgentId, AtDeadline, BootId, Change, Command, Drain, ENDED_KEPT_MS, EndReason,
    Joins, Place, Report, Session, SessionId, State, Table, Timestamp, Want,
};
use uuid::Uuid;

use crate::*;

const SESSION: SessionId = SessionId(Uuid::from_u128(7));
const OTHER: SessionId = SessionId(Uuid::from_u128(8));

fn agent(number: u8) -> AgentId {
    format!("{number:032x}").parse().unwrap()
}

fn boot(number: u8) -> BootId {
    format!("boot-{number}").parse().unwrap()
}

fn session(state: State) -> Session {
    Session {
        id: SESSION,
        user: "ada".parse().unwrap(),
        agent: agent(1),
        profile: "xfce".parse().unwrap(),
        pool: Some("engineering".parse().unwrap()),
        key: "k".parse().unwrap(),
        view_key: "0".repeat(32).parse().unwrap(),
        created_at: Timestamp(5),
        boot: Some(boot(1)),
        state,
        unlisted_since: None,
    }
}

fn ending() -> State {
    State::Ending { by: "ada".into() }
}

fn superseded() -> State {
    State::Superseded { by: OTHER }
}

fn ended() -> State {
    State::Ended { at: Timestamp(9), reason: EndReason::LoggedOut }
}

fn running(ever_attached: bool) -> Report {
    Report::Running { ever_attached }
}

/// A table in which two agents joined and have session 7 reserved on the first.
fn table() -> Table {
    let mut table = Table::default();
    let mut apply = |change| table.apply(Command { at: Timestamp(5), change });
    for number in [1, 2] {
        let hash = [number; 32];
        apply(Change::AddJoinToken { hash, expires: Timestamp(1000), joins: Joins::Agent });
        apply(Change::AdmitAgent { hash, agent: agent(number), name: "host".into() });
        apply(Change::AgentHeard { agent: agent(number), facts: facts(1) });
    }
    let row = session(State::Reserved);
    let place = Place { session: SESSION, agent: agent(1), view_key: row.view_key };
    let (user, profile, pool) = (row.user, row.profile, row.pool);
    apply(Change::Reserve { place, user, profile, pool, key: row.key, want: Want::Start });
    table
}

fn facts(number: u8) -> Arc<AgentFacts> {
    let public_url = "https://host".into();
    Arc::new(AgentFacts {
        boot: boot(number),
        public_url,
        weight: 1,
        profiles: Vec::new(),
        labels: std::collections::BTreeSet::new(),
        max_sessions: None,
    })
}

#[test]
fn an_agent_is_told_what_its_ledger_lacks_and_nothing_twice() {
    let end = |by: &str| Some(Wanted::End { by: by.into() });
    let lost = end(&format!("the cluster: replaced by {OTHER} before anybody saw it"));
    for (state, listed, wanted) in [
        (State::Reserved, None, Some(Wanted::Start)),
        (State::Reserved, Some(Report::Starting), None),
        (State::Reserved, Some(Report::Cancelled), None),
        (ending(), None, Some(Wanted::Cancel)),
        (ending(), Some(Report::Starting), end("ada")),
        (ending(), Some(running(true)), end("ada")),
        (ending(), Some(Report::Ending), None),
        (superseded(), None, Some(Wanted::Cancel)),
        (superseded(), Some(Report::Starting), lost.clone()),
        (superseded(), Some(running(false)), lost),
        (superseded(), Some(running(true)), None),
        (State::Starting, None, None),
        (State::Running, None, None),
        (State::Running, Some(running(false)), None),
        (ended(), None, None),
        (ended(), Some(running(false)), None),
    ] {
        let told = pursue(&session(state.clone()), listed.as_ref(), Reservation::Wanted);
        assert_eq!(told, wanted, "{state:?}, {listed:?}");
    }
}

#[test]
fn a_stale_reservation_is_cancelled_unless_it_began() {
    let reserved = session(State::Reserved);
    assert_eq!(pursue(&reserved, None, Reservation::Stale), Some(Wanted::Cancel));
    assert_eq!(pursue(&reserved, Some(&Report::Starting), Reservation::Stale), None);
}

#[test]
fn a_session_is_lost_by_another_boot_and_by_nothing_less() {
    for state in [State::Starting, State::Running, ending()] {
        let reason = EndReason::LostToBoot { was: boot(1), now: boot(2) };
        let lost = Change::Report {
            session: SESSION,
            agent: agent(1),
            boot: boot(1),
            report: Report::Ended { reason },
        };
        assert_eq!(miss(&session(state), &boot(2)), Some(lost));
    }
    let unlisted = Change::Unlisted { session: SESSION };
    for state in [State::Starting, State::Running] {
        assert_eq!(miss(&session(state), &boot(1)), Some(unlisted.clone()));
    }
    let known = Session { unlisted_since: Some(Timestamp(6)), ..session(State::Running) };
    assert_eq!(miss(&known, &boot(1)), None);
    for state in [State::Reserved, ending(), superseded(), ended()] {
        assert_eq!(miss(&session(state), &boot(1)), None);
    }
    let not_begun = Session { boot: None, ..session(State::Reserved) };
    assert_eq!(miss(&not_begun, &boot(2)), None);
}

#[test]
fn what_an_agent_says_is_news_once() {
    let mut table = table();
    let heard = |table: &Table, number, report| {
        hear(table, &agent(number), SESSION, report, boot(1), Recorded::Everywhere)
    };
    let owner = agent(1);
    assert_eq!(heard(&table, 2, Report::Starting), Heard::Foreign(owner));
    for report in [Report::Starting, running(false), Report::Ended { reason: EndReason::LoggedOut }]
    {
        let Heard::News(change) = heard(&table, 1, report.clone()) else {
            panic!("{report:?} is news");
        };
        table.apply(Command { at: Timestamp(6), change });
        let is_over = matches!(report, Report::Ended { .. });
        let again = if is_over { Heard::Forget } else { Heard::Known };
        assert_eq!(heard(&table, 1, report), again);
    }
    assert_eq!(heard(&table, 1, running(true)), Heard::Known, "it is not over at its agent");
}

#[test]
fn an_agent_keeps_what_is_over_until_nobody_could_start_it_again() {
    let before = table();
    for (report, reservation) in [
        (Report::Ended { reason: EndReason::LoggedOut }, Reservation::Wanted),
        (Report::Cancelled, Reservation::Stale),
    ] {
        let heard = |table: &Table, recorded| {
            hear(table, &agent(1), SESSION, report.clone(), boot(1), recorded)
        };
        let mut alone = before.clone();
        let Heard::News(change) = heard(&alone, Recorded::Here) else { panic!("it is news") };
        alone.apply(Command { at: Timestamp(6), change });
        assert_eq!(heard(&alone, Recorded::Here), Heard::Known);

        // The other one of the pair goes on as well, from what both had.
        let reserved = before.session(SESSION).unwrap();
        assert_eq!(pursue(reserved, Some(&report), reservation), None);
        assert!(matches!(heard(&before, Recorded::Here), Heard::News(_)));

        assert_eq!(heard(&alone, Recorded::Everywhere), Heard::Forget);
        // A day later the table does not have it any more.
        let change = Change::AgentHeard { agent: agent(1), facts: facts(1) };
        alone.apply(Command { at: Timestamp(6 + ENDED_KEPT_MS), change });
        assert_eq!(heard(&alone, Recorded::Here), Heard::Forget);
    }
}

#[test]
fn an_unknown_session_that_lives_is_adopted_by_its_own_order_alone() {
    let heard =
        |report| hear(&Table::default(), &agent(1), SESSION, report, boot(1), Recorded::Here);
    assert_eq!(heard(Report::Starting), Heard::Unknown(State::Starting));
    assert_eq!(heard(running(true)), Heard::Unknown(State::Running));
    assert_eq!(heard(Report::Ending), Heard::Unknown(State::Ending { by: "the agent".into() }));
    assert_eq!(heard(Report::Cancelled), Heard::Forget);
    assert_eq!(heard(Report::Ended { reason: EndReason::LoggedOut }), Heard::Forget);

    let row = session(State::Running);
    let order = start_order(&row);
    let adopt =
        |number, session| adopted(order.clone(), &agent(number), session, boot(1), State::Running);
    assert_eq!(adopt(1, SESSION), Some(row));
    assert_eq!(adopt(2, SESSION), None);
    assert_eq!(adopt(1, OTHER), None);
}

#[test]
fn silence_counts_from_the_table_or_from_the_waiting_whichever_is_longer() {
    let mut table = table();
    let row = session(State::Reserved);
    let (begin, seconds) = (Timestamp(1_000_000), Duration::from_secs);
    let mut watch = Watch::default();
    assert_eq!(watch.unreachable_for(&table, &row, begin, seconds(0)), None);

    let since = begin.plus(3_600_000);
    let change = Change::AgentUnheard { agent: agent(1), since };
    table.apply(Command { at: since, change });
    // The clock that said so was an hour ahead.
    for (waited, silent) in [(1, 0), (2, 1), (4, 3)] {
        let found = watch.unreachable_for(&table, &row, begin, seconds(waited));
        assert_eq!(found, Some(seconds(silent)));
    }
    let later = since.plus(9_000);
    assert_eq!(watch.unreachable_for(&table, &row, later, seconds(5)), Some(seconds(9)));
    let other = Session { id: OTHER, ..row.clone() };
    assert_eq!(watch.unreachable_for(&table, &other, begin, seconds(6)), Some(seconds(0)));

    let change = Change::AgentHeard { agent: agent(1), facts: facts(1) };
    table.apply(Command { at: since, change });
    assert_eq!(watch.unreachable_for(&table, &row, begin, seconds(7)), None);
}

#[test]
fn an_agent_is_welcomed_when_it_was_away_or_says_something_else() {
    let mut table = table();
    assert_eq!(welcome(&table, &agent(1), &facts(1)), None);
    assert!(welcome(&table, &agent(1), &facts(2)).is_some());
    assert!(welcome(&table, &agent(3), &facts(1)).is_some());
    let change = Change::AgentUnheard { agent: agent(1), since: Timestamp(6) };
    table.apply(Command { at: Timestamp(6), change });
    assert!(welcome(&table, &agent(1), &facts(1)).is_some());
}

#[test]
fn a_drains_deadline_ends_what_is_there_if_the_plan_says_so() {
    let drain = |then, deadline| {
        let (by, since, message) = ("root".into(), Timestamp(5), "".into());
        Some(Arc::new(Drain { by, since, deadline, message, then }))
    };
    let ended = |plan, now| {
        let mut table = table();
        let change = Change::Drain { agent: agent(1), plan };
        table.apply(Command { at: Timestamp(5), change });
        let found: Vec<_> = overdue(&table, Timestamp(now)).map(|(_, _, change)| change).collect();
        found
    };
    let end = Change::End { session: SESSION, by: "the maintenance of host".into() };
    let at = Some(Timestamp(100));
    assert_eq!(ended(drain(AtDeadline::End, at), 99), []);
    assert_eq!(ended(drain(AtDeadline::End, at), 100), std::slice::from_ref(&end));
    assert_eq!(ended(drain(AtDeadline::Keep, at), 200), []);
    assert_eq!(ended(drain(AtDeadline::End, None), 200), []);
    assert_eq!(ended(None, 200), []);

    let mut table = table();
    let change = Change::Drain { agent: agent(1), plan: drain(AtDeadline::End, at) };
    table.apply(Command { at: Timestamp(5), change });
    table.apply(Command { at: Timestamp(100), change: end });
    assert_eq!(overdue(&table, Timestamp(200)).count(), 0, "it ends already");
}
