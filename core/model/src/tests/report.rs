//! What agents say, and what they do not say.

use super::*;

#[test]
fn a_session_moves_forward_as_its_agent_says_and_never_back() {
    let mut table = with_session(&[]);
    let over = || Report::Ended { reason: EndReason::LoggedOut };
    drive(
        &mut table,
        [
            (1, report(1, Report::Starting), DONE),
            (2, report(1, Report::Starting), UNCHANGED),
            (3, report(1, running(false)), DONE),
            (4, report(1, Report::Starting), UNCHANGED),
            (5, report(1, running(true)), UNCHANGED),
            (6, report(1, Report::Ending), DONE),
            (7, report(1, running(true)), UNCHANGED),
            (8, report(1, over()), DONE),
            (9, report(1, over()), UNCHANGED),
            (9, report(1, running(true)), UNCHANGED),
            (9, report(1, Report::Cancelled), UNCHANGED),
        ],
    );
    assert_eq!(state(&table, 1), ended(8, EndReason::LoggedOut));
    assert_eq!(table.session(session(1)).unwrap().boot, Some(id("b1")));
}

#[test]
fn steps_that_were_not_heard_of_are_skipped() {
    for (said, state_then) in [
        (running(false), State::Running),
        (Report::Ending, State::Ending { by: "the agent".into() }),
        (Report::Ended { reason: EndReason::HostShutDown }, ended(0, EndReason::HostShutDown)),
        (Report::Cancelled, ended(0, EndReason::Cancelled)),
    ] {
        assert_eq!(state(&with_session(&[said]), 1), state_then);
    }
}

#[test]
fn only_a_sessions_own_agent_is_believed() {
    let mut table = with_session(&[]);
    let by = |number| Change::Report {
        session: session(1),
        agent: agent(number),
        boot: id("b1"),
        report: Report::Cancelled,
    };
    let steps = [
        (0, by(1), refused(Refusal::WrongAgent)),
        (0, by(9), refused(Refusal::WrongAgent)),
        (0, report(2, running(false)), refused(Refusal::UnknownSession)),
    ];
    drive(&mut table, steps);
    assert_eq!(state(&table, 1), State::Reserved);
}

#[test]
fn an_agent_cannot_say_what_only_the_table_knows() {
    for reason in
        [EndReason::Superseded { by: session(1) }, EndReason::Abandoned { by: "ada".into() }]
    {
        let mut table = with_session(&[running(true)]);
        drive(&mut table, [(0, report(1, Report::Ended { reason }), UNCHANGED)]);
        assert_eq!(table.successor(session(1)), session(1));
    }
}

#[test]
fn a_session_that_was_given_up_is_there_again_when_it_runs_after_all() {
    let mut table = with_session(&[running(true)]);
    drive(
        &mut table,
        [
            (0, unheard(0), DONE),
            (1, abandon(1), DONE),
            (2, heard(0), DONE),
            (3, report(1, Report::Starting), UNCHANGED),
            (4, report(1, running(true)), DONE),
            (5, reserve(2, 1, "new"), Outcome::Existing(session(1))),
        ],
    );
    assert_eq!(state(&table, 1), State::Running);
}

#[test]
fn a_session_that_was_given_up_and_ended_stays_ended() {
    let mut table = with_session(&[running(true)]);
    let over = Report::Ended { reason: EndReason::LoggedOut };
    drive(
        &mut table,
        [(0, unheard(0), DONE), (1, abandon(1), DONE), (2, report(1, over), UNCHANGED)],
    );
    assert_eq!(state(&table, 1), ended(1, EndReason::Abandoned { by: "ada".into() }));
}

#[test]
fn a_superseded_session_that_somebody_worked_in_runs_beside_its_successor() {
    let mut table = with_session(&[]);
    drive(
        &mut table,
        [
            (0, unheard(0), DONE),
            (0, supersede(1, 2, 1), Outcome::Reserved(session(2))),
            (0, heard(0), DONE),
            (0, report(1, Report::Starting), UNCHANGED),
            (0, report(1, running(false)), UNCHANGED),
        ],
    );
    assert_eq!(state(&table, 1), State::Superseded { by: session(2) });
    drive(&mut table, [(0, report(1, running(true)), DONE)]);
    assert_eq!((state(&table, 1), state(&table, 2)), (State::Running, State::Reserved));
}

#[test]
fn a_superseded_session_ends_as_superseded_however_its_agent_says_it() {
    let crashed = EndReason::Crashed { detail: "no display".into() };
    for said in [Report::Cancelled, Report::Ended { reason: crashed }] {
        let mut table = with_session(&[]);
        drive(
            &mut table,
            [
                (0, unheard(0), DONE),
                (0, supersede(1, 2, 1), Outcome::Reserved(session(2))),
                (3, report(1, said), DONE),
                (4, report(1, running(true)), UNCHANGED),
            ],
        );
        assert_eq!(state(&table, 1), ended(3, EndReason::Superseded { by: session(2) }));
    }
}

#[test]
fn a_session_that_its_agent_does_not_list_is_unreachable_until_it_is_listed_again() {
    let mut table = with_session(&[running(true)]);
    let unlisted = || Change::Unlisted { session: session(1) };
    drive(&mut table, [(5, unlisted(), DONE), (6, unlisted(), UNCHANGED)]);
    let since = |table: &Table| table.unreachable_since(table.session(session(1)).unwrap());
    assert_eq!(since(&table), Some(BEGIN.plus(5)));
    assert_eq!(state(&table, 1), State::Running);
    let news = table.session(session(1)).unwrap().learns_from(&running(true));
    assert!(news, "the report that it is there again must not be passed over");
    drive(&mut table, [(7, report(1, running(true)), DONE)]);
    assert_eq!(since(&table), None);
}

#[test]
fn a_session_that_has_not_begun_or_is_over_is_not_missed() {
    for reports in [&[][..], &[Report::Cancelled]] {
        let mut table = with_session(reports);
        drive(&mut table, [(0, Change::Unlisted { session: session(1) }, UNCHANGED)]);
    }
    let none = Change::Unlisted { session: session(9) };
    drive(&mut cluster(), [(0, none, refused(Refusal::UnknownSession))]);
}

/// A session that agent 0 has and the table does not, reserved so long after [`BEGIN`].
fn found(number: u64, after: u64) -> Change {
    Change::Adopt(Arc::new(Session {
        id: session(number),
        user: id("ada"),
        agent: agent(0),
        profile: id("gnome"),
        pool: None,
        key: id("k"),
        view_key: id(&"a".repeat(32)),
        created_at: BEGIN.plus(after),
        boot: Some(id("b1")),
        state: State::Running,
        unlisted_since: None,
    }))
}

#[test]
fn an_adopted_session_is_resumed_and_its_key_leads_to_it_for_any_want() {
    let mut table = cluster();
    drive(
        &mut table,
        [
            (0, found(1, 0), DONE),
            (0, found(1, 0), UNCHANGED),
            (0, reserve(2, 1, "new"), Outcome::Existing(session(1))),
            (0, start(2, 1, "k", Want::Start), Outcome::Reserved(session(1))),
            (0, reserve(2, 1, "k"), Outcome::Reserved(session(1))),
        ],
    );
}

#[test]
fn adopting_leaves_a_key_with_the_session_that_has_it() {
    let mut table = with_session(&[]);
    drive(
        &mut table,
        [(0, found(2, 0), DONE), (0, reserve(3, 0, "k"), Outcome::Reserved(session(1)))],
    );
}

#[test]
fn an_adopted_sessions_key_is_kept_a_day_from_its_reservation_by_whatever_clock() {
    let mut table = cluster();
    let later = KEYS_KEPT_MS + 5;
    drive(
        &mut table,
        [
            (later, found(1, 5), DONE),
            (later, start(2, 0, "k", Want::Start), Outcome::Reserved(session(2))),
        ],
    );
    let mut table = cluster();
    drive(
        &mut table,
        [
            (0, found(1, 9 * KEYS_KEPT_MS), DONE),
            (0, report(1, Report::Ended { reason: EndReason::LoggedOut }), DONE),
            (KEYS_KEPT_MS, start(2, 0, "k", Want::Start), Outcome::Reserved(session(2))),
        ],
    );
}

#[test]
fn only_what_is_there_is_adopted_and_only_from_an_agent_that_joined() {
    let Change::Adopt(row) = found(1, 0) else { unreachable!() };
    let with = |change: fn(&mut Session)| {
        let mut row = (*row).clone();
        change(&mut row);
        Change::Adopt(Arc::new(row))
    };
    let steps = [
        (0, with(|it| it.agent = agent(2)), refused(Refusal::UnknownAgent)),
        (0, with(|it| it.state = State::Superseded { by: session(1) }), refused(Refusal::Ended)),
        (0, with(|it| it.state = ended(0, EndReason::LoggedOut)), refused(Refusal::Ended)),
    ];
    drive(&mut cluster(), steps);
}

#[test]
fn an_agent_is_unreachable_since_it_was_first_missed() {
    let mut table = cluster();
    let missed = |since| Change::AgentUnheard { agent: agent(0), since: BEGIN.plus(since) };
    drive(&mut table, [(9, missed(3), DONE), (20, missed(15), UNCHANGED)]);
    let reach = table.agent(&agent(0)).unwrap().reach;
    assert_eq!(reach, Reach::Unreachable { since: BEGIN.plus(3) });
    drive(&mut table, [(21, heard(0), DONE), (22, heard(0), UNCHANGED)]);
    assert_eq!(table.agent(&agent(0)).unwrap().reach, Reach::Reachable);
    drive(
        &mut table,
        [
            (23, unheard(9), refused(Refusal::UnknownAgent)),
            (23, heard(9), refused(Refusal::UnknownAgent)),
        ],
    );
}
