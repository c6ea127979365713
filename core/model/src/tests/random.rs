//! What holds whatever comes, in whatever order.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;

/// Commands in one run: long enough for keys, ends and tokens to expire within it.
const RUN: usize = 80;

proptest! {
    #[test]
    fn every_step_keeps_every_promise(commands in commands(RUN)) {
        let mut table = cluster();
        check(&table);
        for command in commands {
            step(&mut table, command);
        }
    }

    #[test]
    fn parts_in_any_order_with_agents_first_make_the_same_table(
        commands in commands(RUN),
        order in prop::collection::vec(any::<u32>(), 1..40),
    ) {
        let mut table = cluster();
        for command in commands {
            table.apply(command);
        }
        let mut parts: Vec<_> = table.parts().zip(order.iter().cycle()).collect();
        parts.sort_by_key(|(part, order)| (!matches!(part, Part::Agent(_)), **order));
        let mut again = Table::default();
        for (part, _) in parts {
            again.add(part).unwrap();
        }
        prop_assert_eq!(again, table);
    }
}

#[test]
fn random_runs_come_to_every_outcome_and_state() {
    let mut runner = TestRunner::deterministic();
    let (mut outcomes, mut states) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..300 {
        let mut table = cluster();
        for command in commands(RUN).new_tree(&mut runner).unwrap().current() {
            let outcome = format!("{:?}", table.apply(command));
            outcomes.insert(outcome.split("SessionId").next().unwrap().to_owned());
            let all = table.sessions().map(|row| format!("{:?}", row.state));
            states.extend(all.map(|it| it.split([' ', '{']).next().unwrap().to_owned()));
        }
    }
    assert_eq!(
        states.iter().map(String::as_str).collect::<Vec<_>>(),
        ["Ended", "Ending", "Reserved", "Running", "Starting", "Superseded"]
    );
    // Done, Unchanged, Reserved, Existing, and each refusal.
    assert_eq!(outcomes.len(), 4 + 14, "{outcomes:?}");
}

#[test]
fn a_part_that_comes_before_its_agent_is_refused() {
    let table = with_session(&[]);
    let mut parts: Vec<_> = table.parts().collect();
    parts.reverse();
    let mut again = Table::default();
    let added = parts.into_iter().try_for_each(|part| again.add(part));
    assert_eq!(added, Err(PartError::NoAgent { session: session(1), agent: agent(0) }));
}

#[test]
fn a_table_put_together_again_holds_each_text_once() {
    let fresh = |part| match part {
        Part::Session(row) => {
            let agent = id(row.agent.as_str());
            let profile = id(row.profile.as_str());
            Part::Session(Arc::new(Session { agent, profile, ..Session::clone(&row) }))
        }
        Part::Start { user, key, session, want, until } => {
            let (user, key) = (id(user.as_str()), id(key.as_str()));
            Part::Start { user, key, session, want, until }
        }
        other => other,
    };
    let mut again = Table::default();
    for part in with_session(&[]).parts() {
        again.add(fresh(part)).unwrap();
    }
    let row = again.session(session(1)).unwrap();
    let agent = again.agent(&row.agent).unwrap();
    let profile = &agent.facts.as_ref().unwrap().profiles[0].name;
    let (user, key) = again.starts.keys().next().unwrap();
    for (one, other) in [
        (row.agent.as_str(), agent.id.as_str()),
        (row.profile.as_str(), profile.as_str()),
        (row.user.as_str(), user.as_str()),
        (row.key.as_str(), key.as_str()),
    ] {
        assert!(std::ptr::eq(one, other), "{one:?} is there twice");
    }
}

/// Takes one step, and holds it against every promise.
fn step(table: &mut Table, command: Command) {
    let before = aged(table, command.at);
    only_ends_and_keys_age(table, &before);
    let outcome = table.apply(command.clone());
    check(table);
    assert_eq!(table.now, before.now);
    twice_is_once(table, &command, &outcome);
    if matches!(outcome, Outcome::Refused(_) | Outcome::Unchanged) {
        assert_eq!(before, *table, "{outcome:?}, but something changed");
    }
    sessions_stay_themselves(&before, table);
    ends_are_final(&before, table, &command);
    keys_lead_to_one_session(&before, table, &command, &outcome);
}

/// The table when nothing but time has come to it.
fn aged(table: &Table, now: Timestamp) -> Table {
    let mut aged = table.clone();
    let nothing = Change::Unlisted { session: session(u64::MAX) };
    let outcome = aged.apply(Command { at: now, change: nothing });
    assert_eq!(outcome, refused(Refusal::UnknownSession));
    assert_eq!(aged.now, table.now.max(now), "time ran backwards, or by itself");
    aged
}

/// Time takes sessions a day after their end and keys at theirs, and nothing of either before.
fn only_ends_and_keys_age(before: &Table, aged: &Table) {
    let is_over = |row: &Session| matches!(row.state, State::Ended { at, .. } if at.plus(ENDED_KEPT_MS) <= aged.now);
    let left: Vec<_> = before.sessions().filter(|row| !is_over(row)).collect();
    assert_eq!(left, aged.sessions().collect::<Vec<_>>());
    let left: Vec<_> = before.starts.iter().filter(|(_, it)| it.until > aged.now).collect();
    assert_eq!(left, aged.starts.iter().collect::<Vec<_>>());
}

fn twice_is_once(table: &Table, command: &Command, first: &Outcome) {
    let mut again = table.clone();
    let second = again.apply(command.clone());
    assert_eq!(again, *table, "a repeat changed the table: {command:?}");
    let is_same = match (first, &second) {
        (Outcome::Done, Outcome::Unchanged) => true,
        (Outcome::Existing(a), Outcome::Reserved(b)) => a == b,
        (a, b) => a == b,
    };
    assert!(is_same, "{first:?}, then {second:?}: {command:?}");
}

/// No command takes a session away, or makes another of it.
fn sessions_stay_themselves(before: &Table, after: &Table) {
    for old in before.sessions() {
        let new = after.session(old.id).unwrap_or_else(|| panic!("{old:?} is gone"));
        let moved = Session {
            boot: new.boot.clone(),
            state: new.state.clone(),
            unlisted_since: new.unlisted_since,
            ..(**old).clone()
        };
        assert_eq!(**new, moved);
    }
}

/// States go forward. What ended stays ended, unless it was given up and runs; what was superseded
/// comes back only if it runs and somebody was in it.
fn ends_are_final(before: &Table, after: &Table, command: &Command) {
    let runs = |ever: &[bool]| match &command.change {
        Change::Report { report: Report::Running { ever_attached }, .. } => {
            ever.contains(ever_attached)
        }
        _ => false,
    };
    for old in before.sessions() {
        let Some(new) = after.session(old.id) else { panic!("{old:?} is gone") };
        let comes_back = match (&old.state, &new.state) {
            (State::Ended { reason: EndReason::Abandoned { .. }, .. }, State::Running) => {
                runs(&[true, false])
            }
            (State::Superseded { .. }, State::Running) => runs(&[true]),
            (State::Ended { .. }, new) => *new == old.state,
            _ => false,
        };
        let is_forward = rank(&new.state) > rank(&old.state) || new.state == old.state;
        assert!(comes_back || is_forward, "from {old:?} to {new:?}");
    }
}

/// A key that is remembered leads to the one session that was acknowledged for it, or to its
/// successor, and none is made for it.
fn keys_lead_to_one_session(before: &Table, after: &Table, command: &Command, outcome: &Outcome) {
    for (key, start) in &before.starts {
        assert_eq!(after.starts.get(key), Some(start), "{key:?}");
    }
    let made: Vec<_> =
        after.sessions().filter(|row| before.session(row.id).is_none()).map(|row| row.id).collect();
    match (&command.change, outcome) {
        (Change::Reserve { user, key, want, .. }, Outcome::Reserved(given)) => {
            let known = before.started_by(user, key, want);
            match known {
                Ok(Some(known)) => assert_eq!((known, &made[..]), (*given, &[][..])),
                _ => assert_eq!((known, &made[..]), (Ok(None), &[*given][..])),
            }
            assert_eq!(after.started_by(user, key, want), Ok(Some(*given)));
        }
        (
            Change::Reserve { user, key, want, .. } | Change::Resume { user, key, want, .. },
            Outcome::Existing(given),
        ) => {
            assert!(made.is_empty());
            assert_eq!(after.started_by(user, key, want), Ok(Some(*given)));
        }
        (Change::Resume { user, key, want, .. }, Outcome::Reserved(given)) => {
            assert!(made.is_empty());
            assert_eq!(before.started_by(user, key, want), Ok(Some(*given)));
        }
        (Change::Supersede { old, .. }, Outcome::Reserved(given)) => {
            assert!(made.is_empty() || made == [*given]);
            assert_eq!(after.successor(*old), *given);
        }
        (Change::Adopt(session), Outcome::Done) => assert_eq!(made, [session.id]),
        _ => assert!(made.is_empty(), "{command:?} made {made:?}"),
    }
    if let Outcome::Reserved(given) | Outcome::Existing(given) = outcome {
        assert!(after.session(*given).is_some(), "what was acknowledged is not there");
    }
}

fn rank(state: &State) -> u8 {
    match state {
        State::Reserved => 0,
        State::Starting => 1,
        State::Running => 2,
        State::Ending { .. } => 3,
        State::Superseded { .. } => 4,
        State::Ended { .. } => 5,
    }
}
