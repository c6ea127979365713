//! A table made anew from what agents report.

use super::*;

fn expect(names: &[&str]) -> Change {
    Change::ExpectAgents { agents: names.iter().map(|&name| name.into()).collect() }
}

fn restore(number: u64) -> Change {
    Change::RestoreAgent { agent: agent(number), name: format!("host{number}") }
}

fn rebuilt(number: u64) -> Change {
    Change::AgentRebuilt { agent: agent(number) }
}

fn adopted(number: u64, on: u64) -> Change {
    Change::Adopt(Arc::new(Session {
        id: session(number),
        user: id("ada"),
        agent: agent(on),
        profile: id("gnome"),
        pool: None,
        key: id("old"),
        view_key: id(&"a".repeat(32)),
        created_at: BEGIN,
        boot: Some(id("b1")),
        state: State::Running,
        unlisted_since: None,
    }))
}

fn waiting() -> Table {
    let mut table = Table::default();
    let steps = [
        (0, restore(0), refused(Refusal::UnknownAgent)),
        (0, Change::BeginRebuild, DONE),
        (0, Change::BeginRebuild, UNCHANGED),
        (0, restore(0), DONE),
        (0, restore(0), UNCHANGED),
        (0, heard(0), DONE),
    ];
    drive(&mut table, steps);
    table
}

#[test]
fn nothing_is_placed_before_the_expected_agents_have_reported() {
    let mut table = waiting();
    let steps = [
        (0, expect(&["host0", "host1"]), DONE),
        (0, reserve(9, 0, "new"), refused(Refusal::Rebuilding)),
        (1, rebuilt(0), DONE),
        (1, reserve(9, 0, "new"), refused(Refusal::Rebuilding)),
        (2, restore(1), DONE),
        (2, rebuilt(1), DONE),
        (3, reserve(9, 0, "new"), Outcome::Reserved(session(9))),
    ];
    drive(&mut table, steps);
    assert!(!table.is_rebuilding());
}

#[test]
fn who_has_a_session_that_was_reported_is_led_back_to_it_at_once() {
    let mut table = waiting();
    let steps = [
        (0, adopted(1, 0), DONE),
        (0, reserve(9, 0, "new"), Outcome::Existing(session(1))),
        // And a start that was answered before all was lost is still known by its key.
        (0, reserve(9, 0, "old"), Outcome::Reserved(session(1))),
        (0, start(9, 0, "other", Want::Start), refused(Refusal::Rebuilding)),
    ];
    drive(&mut table, steps);
}

#[test]
fn expecting_nobody_waits_for_a_persons_word() {
    let mut table = waiting();
    let by: Arc<str> = "root".into();
    let steps = [
        (1, rebuilt(0), DONE),
        (2, reserve(9, 0, "new"), refused(Refusal::Rebuilding)),
        (3, Change::PlaceAgain { by: Arc::clone(&by) }, DONE),
        (4, Change::PlaceAgain { by: "another".into() }, UNCHANGED),
        (4, expect(&["host7"]), UNCHANGED),
        (5, reserve(9, 0, "new"), Outcome::Reserved(session(9))),
        // Who comes later is taken back all the same.
        (6, restore(1), DONE),
        (6, adopted(1, 1), DONE),
    ];
    drive(&mut table, steps);
    let placing = table.rebuild().unwrap().placing.clone();
    assert_eq!(placing, Some(Placing { at: BEGIN.plus(3), by }));
}

#[test]
fn brokers_of_the_lost_table_come_back_but_not_those_that_were_removed() {
    let broker = |letter: &str| Broker {
        id: id(&letter.repeat(32)),
        public_url: String::new(),
        agent_address: String::new(),
        certificate: letter.into(),
        timing: Timing::Lan,
    };
    let key = |letter: &str, removed_at| Change::RestoreKey {
        broker: broker(letter).id,
        certificate: letter.into(),
        removed_at,
    };
    let mut table = waiting();
    let steps = [
        (1, Change::PutBroker(broker("a")), DONE),
        (1, key("a", None), UNCHANGED),
        (1, key("b", None), DONE),
        (1, key("b", None), UNCHANGED),
        (1, key("c", Some(BEGIN)), DONE),
        (1, key("c", Some(BEGIN)), UNCHANGED),
        (1, key("a", Some(BEGIN)), UNCHANGED),
        (2, Change::PutBroker(broker("b")), DONE),
        (2, Change::PutBroker(broker("c")), refused(Refusal::UnknownBroker)),
        (2, Change::BeginRebuild, UNCHANGED),
    ];
    drive(&mut table, steps);
    assert!(table.rebuild().unwrap().keys.contains("b"), "its orders are still to be read");
    assert!(table.was_removed(&broker("c").id));
}

#[test]
fn a_login_from_before_the_loss_is_no_login_any_more() {
    let table = waiting();
    let since = table.rebuild().unwrap().since;
    assert!(table.is_revoked(&[1; 16], &id("ada"), since));
    assert!(!table.is_revoked(&[1; 16], &id("ada"), since.plus(1)));
}

#[test]
fn the_generation_is_only_raised() {
    let mut table = waiting();
    let raise = |to| Change::RaiseGeneration { to };
    assert_eq!(table.generation(), 1, "above a table that was never lost before");
    drive(&mut table, [(0, raise(3), DONE), (0, raise(3), UNCHANGED), (0, raise(2), UNCHANGED)]);
    assert_eq!(table.generation(), 3);
}

#[test]
fn a_table_that_is_doubted_places_nothing_before_all_its_agents_have_reported() {
    let mut table = with_session(&[running(true)]);
    let doubt = |generation| Change::DoubtTable { generation };
    let steps = [
        (5, doubt(3), DONE),
        (5, doubt(3), UNCHANGED),
        (5, start(9, 0, "new", Want::Start), refused(Refusal::Rebuilding)),
        (6, rebuilt(0), DONE),
        (6, start(9, 0, "new", Want::Start), refused(Refusal::Rebuilding)),
        (7, rebuilt(1), DONE),
        (8, start(9, 0, "new", Want::Start), Outcome::Reserved(session(9))),
        // Agents that joined while the other table was there are none of strangers.
        (9, restore(2), DONE),
    ];
    drive(&mut table, steps);
    assert_eq!(table.generation(), 3);
    assert!(table.is_revoked(&[0; 16], &id("ada"), BEGIN.plus(5)), "logins may have been ended");
    assert!(!table.is_revoked(&[0; 16], &id("ada"), BEGIN.plus(6)));
    drive(&mut table, [(10, doubt(4), DONE)]);
    assert!(table.is_rebuilding(), "it can be doubted again");
}
