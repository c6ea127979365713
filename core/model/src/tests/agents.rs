//! Agents out of service, and those that failed.

use super::*;

fn drain(number: u64, by: &str) -> Change {
    let plan = Drain {
        by: by.into(),
        since: BEGIN,
        deadline: Some(BEGIN.plus(HOUR)),
        message: "Back at noon.".into(),
        then: AtDeadline::Keep,
    };
    Change::Drain { agent: agent(number), plan: Some(plan.into()) }
}

fn undrain(number: u64) -> Change {
    Change::Drain { agent: agent(number), plan: None }
}

#[test]
fn a_drained_agent_keeps_its_sessions_and_is_promised_no_more() {
    let mut table = with_session(&[running(true)]);
    let drained = Outcome::Refused(Refusal::AgentDrained);
    drive(
        &mut table,
        [
            (1, drain(0, "root"), DONE),
            (1, drain(0, "root"), UNCHANGED),
            (2, start(2, 0, "new", Want::Start), drained.clone()),
            (2, reserve(2, 0, "back"), Outcome::Existing(session(1))),
            (3, start(2, 1, "elsewhere", Want::Start), Outcome::Reserved(session(2))),
            (4, unheard(1), DONE),
            (4, supersede(2, 3, 0), drained),
            (5, drain(0, "anybody"), DONE),
            (6, undrain(0), DONE),
            (6, undrain(0), UNCHANGED),
            (7, supersede(2, 3, 0), Outcome::Reserved(session(3))),
            (8, drain(7, "root"), refused(Refusal::UnknownAgent)),
        ],
    );
    assert_eq!(state(&table, 1), State::Running);
}

#[test]
fn a_failed_start_is_remembered_until_one_works_that_was_reserved_later() {
    let failed = || Report::Ended { reason: EndReason::NeverStarted { detail: "disk".into() } };
    let at = |table: &Table| table.agent(&agent(0)).unwrap().failed_at;
    let mut table = with_session(&[]);
    let new = |number, key| start(number, 0, key, Want::Start);
    drive(
        &mut table,
        [
            (1, new(2, "b"), Outcome::Reserved(session(2))),
            (5, report(2, Report::Starting), DONE),
            (6, report(2, failed()), DONE),
        ],
    );
    assert_eq!(at(&table), Some(BEGIN.plus(6)));
    drive(&mut table, [(7, report(1, running(false)), DONE)]);
    assert_eq!(at(&table), Some(BEGIN.plus(6)), "it was on its way before");
    drive(
        &mut table,
        [
            (8, new(3, "c"), Outcome::Reserved(session(3))),
            (9, new(4, "d"), Outcome::Reserved(session(4))),
            (10, report(3, running(false)), DONE),
        ],
    );
    assert_eq!(at(&table), None);
    let crashed = Report::Ended { reason: EndReason::Crashed { detail: "signal 11".into() } };
    drive(&mut table, [(11, report(3, crashed), DONE), (12, report(4, Report::Cancelled), DONE)]);
    assert_eq!(at(&table), None, "these began, or were not to begin");
}

#[test]
fn a_drain_that_the_winner_does_not_have_is_listed() {
    let winner = cluster();
    let mut lower = winner.clone();
    drive(&mut lower, [(1, drain(1, "root"), DONE)]);
    let listed: Vec<_> = winner.unhealed(&lower).iter().map(ToString::to_string).collect();
    let id = agent(1);
    assert_eq!(listed, [format!("agent {id} (host1) was drained by root: drain it again")]);
    assert!(lower.unhealed(&lower).is_empty());
}
