//! Joining, and logins that were ended.

use super::*;

fn token(expires: u64) -> Change {
    token_for(expires, Joins::Agent)
}

fn token_for(expires: u64, joins: Joins) -> Change {
    Change::AddJoinToken { hash: [1; 32], expires: BEGIN.plus(expires), joins }
}

fn join(number: u64) -> Change {
    Change::AdmitAgent { hash: [1; 32], agent: agent(number), name: format!("host{number}") }
}

#[test]
fn a_join_token_admits_one_machine_which_may_ask_again() {
    let mut table = cluster();
    drive(
        &mut table,
        [
            (0, join(2), refused(Refusal::JoinToken)),
            (0, token(HOUR), DONE),
            (1, join(2), DONE),
            (2, join(2), UNCHANGED),
            (3, join(3), refused(Refusal::JoinToken)),
            // Adding it again does not make it new.
            (4, token(HOUR), UNCHANGED),
            (5, join(3), refused(Refusal::JoinToken)),
        ],
    );
    assert_eq!(table.agent(&agent(2)).unwrap().joined_at, BEGIN.plus(1));
    assert!(table.agent(&agent(3)).is_none());
}

#[test]
fn a_join_token_ends_at_its_time() {
    let mut table = cluster();
    drive(
        &mut table,
        [
            (0, token(HOUR), DONE),
            (HOUR, join(2), refused(Refusal::JoinToken)),
            (HOUR, token(HOUR), UNCHANGED),
            (HOUR, join(2), refused(Refusal::JoinToken)),
        ],
    );
}

#[test]
fn a_machine_that_joins_again_stays_the_same_agent() {
    let mut table = with_session(&[running(true)]);
    let again = Change::AdmitAgent { hash: [1; 32], agent: agent(0), name: "renamed".into() };
    drive(&mut table, [(5, token(HOUR), DONE), (6, again, DONE)]);
    let row = table.agent(&agent(0)).unwrap();
    assert_eq!((row.name.as_str(), row.joined_at, row.live), ("renamed", BEGIN, 1));
    assert_eq!(row.reach, Reach::Reachable);
}

fn row(letter: &str) -> Broker {
    Broker {
        id: id(&letter.repeat(32)),
        public_url: format!("https://{letter}"),
        agent_address: format!("{letter}:9000"),
        certificate: format!("certificate of {letter}"),
        timing: Timing::Lan,
    }
}

fn admit(letter: &str) -> Change {
    Change::AdmitBroker { hash: [1; 32], broker: row(letter) }
}

fn remove(letter: &str) -> Change {
    Change::RemoveBroker { broker: row(letter).id }
}

#[test]
fn a_broker_says_the_same_of_itself_only_once() {
    let moved = Broker { public_url: "https://elsewhere".into(), ..row("b") };
    let mut table = cluster();
    let steps = [
        (0, Change::PutBroker(row("b")), DONE),
        (0, Change::PutBroker(row("b")), UNCHANGED),
        (0, Change::PutBroker(moved), DONE),
    ];
    drive(&mut table, steps);
    assert_eq!(table.revision(), 2);
}

#[test]
fn a_broker_comes_in_by_a_token_for_brokers_alone() {
    let mut table = cluster();
    let steps = [
        (0, Change::PutBroker(row("b")), DONE),
        (0, Change::PutBroker(row("c")), refused(Refusal::UnknownBroker)),
        (0, admit("c"), refused(Refusal::JoinToken)),
        (0, token_for(HOUR, Joins::Broker), DONE),
        // A token for brokers gives no agent's place.
        (0, join(2), refused(Refusal::JoinToken)),
        (1, admit("c"), DONE),
        (2, admit("c"), UNCHANGED),
        (2, admit("d"), refused(Refusal::JoinToken)),
        (3, Change::PutBroker(row("c")), UNCHANGED),
    ];
    drive(&mut table, steps);
    assert_eq!((table.revision(), table.brokers().count()), (2, 2));
}

#[test]
fn a_token_for_agents_makes_no_broker() {
    let mut table = cluster();
    let steps = [(0, token(HOUR), DONE), (0, admit("c"), refused(Refusal::JoinToken))];
    drive(&mut table, steps);
}

#[test]
fn a_removed_broker_does_not_come_back_by_itself_nor_by_its_old_token() {
    let mut table = cluster();
    let steps = [
        (0, Change::PutBroker(row("b")), DONE),
        (0, remove("b"), refused(Refusal::LastBroker)),
        (0, token_for(HOUR, Joins::Broker), DONE),
        (1, admit("c"), DONE),
        (5, remove("c"), DONE),
        (6, remove("c"), UNCHANGED),
        (6, admit("c"), refused(Refusal::JoinToken)),
        (6, Change::PutBroker(row("c")), refused(Refusal::UnknownBroker)),
    ];
    drive(&mut table, steps);
    assert_eq!(table.revision(), 3);
    // Its key is known as one that is believed no more.
    let certificate = "certificate of c".into();
    let removed: Vec<_> = table.removed().collect();
    assert_eq!(removed, [(&row("c").id, &Removed { certificate, at: BEGIN.plus(5) })]);
    assert!(!table.was_removed(&row("b").id));
}

#[test]
fn a_revoked_token_is_refused_until_it_would_have_ended() {
    let mut table = cluster();
    let revoke = |until| Change::RevokeToken { jti: [7; 16], until: BEGIN.plus(until) };
    let is_revoked = |table: &Table| table.is_revoked(&[7; 16], &id("ada"), BEGIN);
    drive(&mut table, [(5, revoke(5), UNCHANGED)]);
    assert!(!is_revoked(&table));
    drive(&mut table, [(5, revoke(9), DONE), (8, revoke(9), UNCHANGED)]);
    assert!(is_revoked(&table));
    assert!(!table.is_revoked(&[8; 16], &id("ada"), BEGIN));
    drive(&mut table, [(9, heard(0), UNCHANGED)]);
    assert!(!is_revoked(&table));
}

#[test]
fn logging_out_everywhere_ends_the_logins_so_far_of_one_user() {
    let mut table = cluster();
    let out = |until| Change::LogOutEverywhere { user: id("ada"), until: BEGIN.plus(until) };
    let is_out = |table: &Table, user: &str, issued| {
        table.is_revoked(&[0; 16], &id(user), BEGIN.plus(issued))
    };
    drive(&mut table, [(10, out(10), UNCHANGED), (10, out(50), DONE)]);
    assert!(is_out(&table, "ada", 9) && is_out(&table, "ada", 10));
    assert!(!is_out(&table, "ada", 11) && !is_out(&table, "grace", 9));
    // A second time, by a clock that is behind: what was ended stays so as long as it had to.
    drive(&mut table, [(20, out(40), DONE), (45, heard(0), UNCHANGED)]);
    assert!(is_out(&table, "ada", 20) && !is_out(&table, "ada", 21));
    drive(&mut table, [(50, heard(0), UNCHANGED)]);
    assert!(!is_out(&table, "ada", 9));
}
