//! Reservations, keys, and reservations placed anew.

use super::*;

#[test]
fn twenty_logins_of_one_person_at_once_give_one_session() {
    let mut table = cluster();
    let outcomes: Vec<_> = (1..=20)
        .map(|n| {
            let change = reserve(n, n % 2, &format!("k{n}"));
            table.apply(Command { at: BEGIN, change })
        })
        .collect();
    check(&table);
    assert_eq!(outcomes[0], Outcome::Reserved(session(1)));
    assert!(outcomes[1..].iter().all(|it| *it == Outcome::Existing(session(1))));
    assert_eq!(table.sessions().count(), 1);
}

#[test]
fn a_start_that_wants_a_new_session_gets_one_beside_the_others() {
    let mut table = cluster();
    drive(
        &mut table,
        [
            (0, start(1, 0, "a", Want::Start), Outcome::Reserved(session(1))),
            (0, start(2, 0, "b", Want::Start), Outcome::Reserved(session(2))),
            (0, reserve(3, 0, "c"), Outcome::Existing(session(2))),
        ],
    );
}

#[test]
fn the_newest_session_of_the_profile_asked_for_is_resumed() {
    let mut table = cluster();
    let only = |name: &str| Want::ResumeOrStart { profile: Some(id(name)) };
    drive(
        &mut table,
        [
            (0, start(1, 0, "a", Want::Start), Outcome::Reserved(session(1))),
            (0, start(2, 0, "b", Want::Start), Outcome::Reserved(session(2))),
            (0, start(3, 0, "c", only("xfce")), Outcome::Reserved(session(3))),
            (0, start(4, 0, "d", only("gnome")), Outcome::Existing(session(3))),
            (0, end(3), DONE),
            (0, start(4, 0, "e", only("gnome")), Outcome::Existing(session(2))),
        ],
    );
}

#[test]
fn the_same_key_gives_the_same_session_whatever_became_of_it() {
    let mut table = cluster();
    let first = Outcome::Reserved(session(1));
    drive(
        &mut table,
        [
            (0, start(1, 0, "k", Want::Start), first.clone()),
            (1, start(2, 1, "k", Want::Start), first.clone()),
            (2, report(1, running(false)), DONE),
            (3, start(3, 1, "k", Want::Start), first.clone()),
            (4, report(1, Report::Ended { reason: EndReason::LoggedOut }), DONE),
            (5, start(4, 1, "k", Want::Start), first),
        ],
    );
    assert_eq!(table.sessions().count(), 1);
}

#[test]
fn a_key_that_was_used_for_another_want_is_refused() {
    let mut table = with_session(&[]);
    let only = Want::ResumeOrStart { profile: Some(id("gnome")) };
    drive(
        &mut table,
        [
            (0, start(2, 0, "k", Want::Start), refused(Refusal::KeyReused)),
            (0, start(2, 0, "k", only), refused(Refusal::KeyReused)),
        ],
    );
}

#[test]
fn two_people_may_choose_the_same_key() {
    let mut table = with_session(&[]);
    let Change::Reserve { place, profile, pool, key, want, .. } = reserve(2, 0, "k") else {
        unreachable!();
    };
    let theirs = Change::Reserve { place, user: id("grace"), profile, pool, key, want };
    drive(&mut table, [(0, theirs, Outcome::Reserved(session(2)))]);
}

#[test]
fn a_key_of_a_start_that_found_a_session_is_remembered_too() {
    let mut table = with_session(&[]);
    let steps = [
        (0, reserve(2, 0, "other"), Outcome::Existing(session(1))),
        (0, report(1, Report::Cancelled), DONE),
        (0, reserve(2, 0, "other"), Outcome::Reserved(session(1))),
    ];
    drive(&mut table, steps);
}

fn resume(number: u64, by: &str, key: &str, want: Want) -> Change {
    Change::Resume { session: session(number), user: id(by), key: id(key), want }
}

#[test]
fn a_key_that_resumed_a_session_stands_for_it_also_after_its_end() {
    let mut table = with_session(&[running(false)]);
    let any = || Want::ResumeOrStart { profile: None };
    let existing = Outcome::Existing(session(1));
    let known = Outcome::Reserved(session(1));
    drive(
        &mut table,
        [
            (1, resume(1, "grace", "new", any()), refused(Refusal::UnknownSession)),
            (1, resume(1, "ada", "new", any()), existing),
            (2, resume(1, "ada", "new", any()), known.clone()),
            (2, resume(1, "ada", "new", Want::Start), refused(Refusal::KeyReused)),
            (3, report(1, Report::Ended { reason: EndReason::LoggedOut }), DONE),
            (4, resume(1, "ada", "new", any()), known.clone()),
            (4, reserve(2, 0, "new"), known),
            (4, resume(1, "ada", "late", any()), refused(Refusal::Ended)),
            (1 + KEYS_KEPT_MS, reserve(2, 0, "new"), Outcome::Reserved(session(2))),
        ],
    );
}

#[test]
fn a_resumed_reservation_that_was_placed_anew_is_followed() {
    let mut table = with_session(&[]);
    let any = Want::ResumeOrStart { profile: None };
    drive(
        &mut table,
        [
            (1, unheard(0), DONE),
            (2, supersede(1, 2, 1), Outcome::Reserved(session(2))),
            (3, resume(1, "ada", "new", any), Outcome::Existing(session(2))),
        ],
    );
}

#[test]
fn a_key_is_forgotten_after_a_day() {
    let mut table = with_session(&[running(false)]);
    let anew = || start(2, 0, "k", Want::Start);
    drive(
        &mut table,
        [
            (KEYS_KEPT_MS - 1, anew(), refused(Refusal::KeyReused)),
            (KEYS_KEPT_MS, anew(), Outcome::Reserved(session(2))),
        ],
    );
}

#[test]
fn nothing_is_reserved_on_an_agent_that_is_unknown_or_not_heard() {
    let mut table = cluster();
    drive(
        &mut table,
        [
            (0, reserve(1, 7, "k"), refused(Refusal::UnknownAgent)),
            (0, unheard(0), DONE),
            (0, reserve(1, 0, "k"), refused(Refusal::AgentUnreachable)),
            // The key is still free.
            (0, reserve(1, 1, "k"), Outcome::Reserved(session(1))),
        ],
    );
}

#[test]
fn an_agent_that_joined_takes_sessions_only_once_it_is_heard() {
    let mut table = cluster();
    let (hash, expires) = ([1; 32], BEGIN.plus(HOUR));
    drive(
        &mut table,
        [
            (0, Change::AddJoinToken { hash, expires, joins: Joins::Agent }, DONE),
            (0, Change::AdmitAgent { hash, agent: agent(2), name: "host2".into() }, DONE),
            (0, reserve(1, 2, "k"), refused(Refusal::AgentUnreachable)),
            (0, heard(2), DONE),
            (0, reserve(1, 2, "k"), Outcome::Reserved(session(1))),
        ],
    );
}

#[test]
fn an_id_that_is_taken_is_never_given_again() {
    let mut table = with_session(&[running(false)]);
    drive(&mut table, [(0, start(1, 1, "other", Want::Start), refused(Refusal::NotReserved))]);
    assert_eq!(state(&table, 1), State::Running);
}

#[test]
fn a_reservation_counts_on_its_agent_at_once_and_until_it_is_gone() {
    let mut table = cluster();
    let live = |table: &Table| table.agent(&agent(0)).unwrap().live;
    drive(&mut table, [(0, reserve(1, 0, "k"), Outcome::Reserved(session(1)))]);
    assert_eq!(live(&table), 1);
    drive(&mut table, [(0, report(1, running(false)), DONE), (0, end(1), DONE)]);
    assert_eq!(live(&table), 1);
    drive(&mut table, [(0, report(1, Report::Ended { reason: EndReason::LoggedOut }), DONE)]);
    assert_eq!(live(&table), 0);
}

#[test]
fn a_reservation_is_placed_anew_only_when_its_agent_is_not_heard() {
    let mut table = with_session(&[]);
    drive(
        &mut table,
        [
            (0, supersede(1, 2, 1), refused(Refusal::StillReachable)),
            (0, unheard(0), DONE),
            (0, supersede(1, 2, 0), refused(Refusal::AgentUnreachable)),
            (0, supersede(1, 1, 1), refused(Refusal::NotReserved)),
            (0, supersede(9, 2, 1), refused(Refusal::UnknownSession)),
            (0, supersede(1, 2, 1), Outcome::Reserved(session(2))),
            (0, supersede(1, 3, 1), Outcome::Reserved(session(2))),
        ],
    );
    assert_eq!(state(&table, 1), State::Superseded { by: session(2) });
    let (old, new) = (table.session(session(1)).unwrap(), table.session(session(2)).unwrap());
    assert_eq!((&new.user, &new.profile, &new.key), (&old.user, &old.profile, &old.key));
    assert_eq!((&new.agent, &new.state), (&agent(1), &State::Reserved));
}

#[test]
fn a_reservation_is_placed_anew_though_its_agent_is_heard_if_that_obeys_another() {
    let anew = || placed_anew(1, 2, 1, Grounds::Disobeyed);
    let mut table = with_session(&[]);
    drive(&mut table, [(0, anew(), Outcome::Reserved(session(2)))]);
    assert_eq!(state(&table, 1), State::Superseded { by: session(2) });
    // It was told by somebody whom it obeyed then.
    let mut begun = with_session(&[Report::Starting]);
    drive(&mut begun, [(0, anew(), refused(Refusal::NotReserved))]);
}

#[test]
fn a_session_that_runs_is_never_placed_anew() {
    for said in [running(false), Report::Ending, Report::Cancelled] {
        let mut table = with_session(&[said]);
        drive(
            &mut table,
            [(0, unheard(0), DONE), (0, supersede(1, 2, 1), refused(Refusal::NotReserved))],
        );
    }
}

#[test]
fn keys_and_ends_follow_a_chain_of_successors() {
    let mut table = with_session(&[]);
    drive(
        &mut table,
        [
            (0, reserve(9, 0, "other"), Outcome::Existing(session(1))),
            (0, unheard(0), DONE),
            (0, supersede(1, 2, 1), Outcome::Reserved(session(2))),
            (0, heard(0), DONE),
            (0, unheard(1), DONE),
            (0, supersede(2, 3, 0), Outcome::Reserved(session(3))),
            (0, reserve(9, 0, "k"), Outcome::Reserved(session(3))),
            (0, reserve(9, 0, "other"), Outcome::Reserved(session(3))),
            (0, supersede(1, 9, 0), Outcome::Reserved(session(3))),
            (0, end(1), DONE),
        ],
    );
    assert_eq!(table.successor(session(1)), session(3));
    assert_eq!(state(&table, 3), State::Ending { by: "ada".into() });
    assert_eq!(state(&table, 2), State::Superseded { by: session(3) });
}

#[test]
fn a_successor_that_is_long_gone_is_not_promised_again() {
    let mut table = with_session(&[]);
    drive(
        &mut table,
        [
            (0, unheard(0), DONE),
            (0, supersede(1, 2, 1), Outcome::Reserved(session(2))),
            (0, unheard(1), DONE),
            (0, abandon(2), DONE),
            (ENDED_KEPT_MS, supersede(1, 3, 1), refused(Refusal::UnknownSession)),
        ],
    );
    assert_eq!(state(&table, 1), State::Superseded { by: session(2) });
}

#[test]
fn a_key_leads_to_the_successor_also_when_the_first_is_over() {
    let mut table = with_session(&[]);
    drive(
        &mut table,
        [
            (0, unheard(0), DONE),
            (0, supersede(1, 2, 1), Outcome::Reserved(session(2))),
            (0, report(1, Report::Cancelled), DONE),
            (0, reserve(9, 1, "k"), Outcome::Reserved(session(2))),
        ],
    );
    assert_eq!(state(&table, 1), ended(0, EndReason::Superseded { by: session(2) }));
}
