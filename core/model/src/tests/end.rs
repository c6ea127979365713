//! Ending, giving up, and what time takes.

use super::*;

#[test]
fn a_session_that_is_ended_stays_until_its_agent_says_that_it_is_gone() {
    for reports in [&[][..], &[Report::Starting], &[running(true)]] {
        let mut table = with_session(reports);
        drive(&mut table, [(1, end(1), DONE), (2, end(1), UNCHANGED)]);
        assert_eq!(state(&table, 1), State::Ending { by: "ada".into() });
        assert_eq!(table.unsettled().count(), 1);
        let asked = EndReason::Asked { by: "ada".into() };
        drive(
            &mut table,
            [(3, report(1, Report::Ended { reason: asked.clone() }), DONE), (4, end(1), UNCHANGED)],
        );
        assert_eq!(state(&table, 1), ended(3, asked));
        assert_eq!(table.unsettled().count(), 0);
    }
    drive(&mut cluster(), [(0, end(1), refused(Refusal::UnknownSession))]);
}

#[test]
fn a_reservation_that_was_ended_before_it_began_says_who_ended_it() {
    let mut table = with_session(&[]);
    drive(&mut table, [(1, end(1), DONE), (2, report(1, Report::Cancelled), DONE)]);
    assert_eq!(state(&table, 1), ended(2, EndReason::Asked { by: "ada".into() }));
}

#[test]
fn a_session_that_is_ending_is_not_handed_out() {
    let mut table = with_session(&[running(true)]);
    drive(
        &mut table,
        [(1, end(1), DONE), (2, reserve(2, 0, "new"), Outcome::Reserved(session(2)))],
    );
}

#[test]
fn only_an_unreachable_session_can_be_given_up() {
    let mut table = with_session(&[running(true)]);
    drive(
        &mut table,
        [
            (0, abandon(9), refused(Refusal::UnknownSession)),
            (0, abandon(1), refused(Refusal::StillReachable)),
            (1, unheard(0), DONE),
            (2, abandon(1), DONE),
            (3, abandon(1), UNCHANGED),
            (4, end(1), UNCHANGED),
        ],
    );
    assert_eq!(state(&table, 1), ended(2, EndReason::Abandoned { by: "ada".into() }));
    let mut table = with_session(&[Report::Cancelled]);
    drive(&mut table, [(1, unheard(0), DONE), (2, abandon(1), refused(Refusal::Ended))]);
}

#[test]
fn a_session_that_its_agent_does_not_list_can_be_given_up() {
    let mut table = with_session(&[running(true)]);
    let unlisted = Change::Unlisted { session: session(1) };
    drive(&mut table, [(0, unlisted, DONE), (1, abandon(1), DONE)]);
}

#[test]
fn giving_up_a_superseded_session_means_its_successor() {
    let mut table = with_session(&[]);
    drive(
        &mut table,
        [
            (0, unheard(0), DONE),
            (0, supersede(1, 2, 1), Outcome::Reserved(session(2))),
            (0, abandon(1), refused(Refusal::StillReachable)),
            (0, unheard(1), DONE),
            (0, abandon(1), DONE),
            (0, reserve(3, 0, "k"), Outcome::Reserved(session(2))),
        ],
    );
    assert_eq!(state(&table, 1), State::Superseded { by: session(2) });
    assert_eq!(state(&table, 2), ended(0, EndReason::Abandoned { by: "ada".into() }));
}

#[test]
fn a_session_that_ended_can_be_looked_up_for_a_day() {
    let mut table = with_session(&[running(true)]);
    let over = Report::Ended { reason: EndReason::LoggedOut };
    drive(&mut table, [(7, report(1, over), DONE), (7 + ENDED_KEPT_MS - 1, heard(0), UNCHANGED)]);
    assert!(table.session(session(1)).is_some());
    drive(&mut table, [(7 + ENDED_KEPT_MS, heard(0), UNCHANGED)]);
    assert!(table.session(session(1)).is_none());
    assert_eq!(table.sessions_of(&id("ada")).count(), 0);
}

#[test]
fn time_alone_takes_no_session_that_has_not_ended() {
    for reports in [&[][..], &[Report::Starting], &[running(true)], &[Report::Ending]] {
        let mut table = with_session(reports);
        let before = table.session(session(1)).cloned();
        drive(&mut table, [(0, unheard(0), DONE), (1000 * ENDED_KEPT_MS, unheard(0), UNCHANGED)]);
        assert_eq!(table.session(session(1)).cloned(), before);
    }
}

#[test]
fn the_tables_time_never_runs_backwards() {
    let mut table = cluster();
    drive(&mut table, [(500, unheard(0), DONE), (100, heard(0), DONE)]);
    assert_eq!(table.now(), BEGIN.plus(500));
    drive(&mut table, [(0, reserve(1, 0, "k"), Outcome::Reserved(session(1)))]);
    assert_eq!(table.session(session(1)).unwrap().created_at, BEGIN.plus(500));
}
