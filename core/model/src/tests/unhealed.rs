//! What a table whose claim lost had, and the winner does not.

use super::*;

fn kinds(winner: &Table, lower: &Table) -> Vec<&'static str> {
    winner.unhealed(lower).iter().map(Unhealed::kind).collect()
}

#[test]
fn what_both_have_is_not_listed() {
    let table = with_session(&[running(true)]);
    assert_eq!(kinds(&table, &table), [""; 0]);
    let mut ahead = table.clone();
    drive(&mut ahead, [(5, end(1), DONE), (6, reserve(2, 1, "k2"), Outcome::Reserved(session(2)))]);
    assert_eq!(kinds(&ahead, &table), [""; 0], "the winner may know more");
}

#[test]
fn servers_and_tokens_are_listed_until_it_is_done_again() {
    let mut winner = cluster();
    let mut lower = winner.clone();
    let hash = [1; 32];
    let token = |joins| Change::AddJoinToken { hash, expires: BEGIN.plus(HOUR), joins };
    let join = Change::AdmitAgent { hash, agent: agent(2), name: "host2".into() };
    let steps = [(1, token(Joins::Agent), DONE), (2, join.clone(), DONE)];
    drive(&mut lower, steps.clone());
    assert_eq!(kinds(&winner, &lower), ["agent-joined", "token-made"]);
    drive(&mut winner, steps);
    assert_eq!(kinds(&winner, &lower), [""; 0]);

    let mut later = cluster();
    drive(&mut later, [(HOUR, Change::PassTime, UNCHANGED)]);
    assert_eq!(kinds(&later, &lower), ["agent-joined"], "a token that has ended is none");
}

#[test]
fn ended_logins_are_listed() {
    let mut winner = cluster();
    let mut lower = winner.clone();
    let until = BEGIN.plus(HOUR);
    let out = Change::LogOutEverywhere { user: id("ada"), until };
    let revoke = |n| Change::RevokeToken { jti: [n; 16], until };
    drive(&mut lower, [(1, revoke(1), DONE), (1, revoke(2), DONE), (2, out.clone(), DONE)]);
    assert_eq!(
        winner.unhealed(&lower),
        [Unhealed::LoginsEnded { count: 2 }, Unhealed::LoggedOut { user: id("ada") }]
    );
    drive(&mut winner, [(3, out, DONE)]);
    assert_eq!(winner.unhealed(&lower), [Unhealed::LoginsEnded { count: 2 }]);
}

#[test]
fn what_a_person_did_to_a_session_counts_and_what_its_agent_says_heals() {
    let both = with_session(&[running(true)]);
    let mut lower = both.clone();
    drive(&mut lower, [(1, end(1), DONE)]);
    assert_eq!(kinds(&both, &lower), ["session-ended"]);
    drive(&mut lower, [(2, report(1, Report::Ended { reason: EndReason::LoggedOut }), DONE)]);
    assert_eq!(kinds(&both, &lower), ["session-over"], "its agent may not say so again");

    let mut lower = both.clone();
    drive(&mut lower, [(1, unheard(0), DONE), (2, abandon(1), DONE)]);
    assert_eq!(kinds(&both, &lower), ["session-abandoned"]);

    let mut lower = both.clone();
    let steps = [
        (1, reserve(2, 0, "k2"), Outcome::Existing(session(1))),
        (1, start(3, 0, "k3", Want::Start), Outcome::Reserved(session(3))),
        (2, report(3, running(false)), DONE),
    ];
    drive(&mut lower, steps);
    assert_eq!(
        both.unhealed(&lower),
        [Unhealed::Unreported { session: session(3), user: id("ada"), agent: agent(0) }]
    );
}

const RUNNING: Report = Report::Running { ever_attached: false };

/// What is listed of a session that runs here, and there went on with these reports.
fn listed(here: &Table, reports: &[Report]) -> Vec<Unhealed> {
    let mut lower = here.clone();
    for said in reports {
        drive(&mut lower, [(1, report(1, said.clone()), DONE)]);
    }
    here.unhealed(&lower)
}

#[test]
fn a_session_of_whose_end_only_the_lower_claim_was_told_is_listed_however_it_ended() {
    let here = with_session(&[RUNNING]);
    assert_eq!(listed(&here, &[]), []);
    for reason in [EndReason::LoggedOut, EndReason::HostShutDown, EndReason::LostKeeper { pid: 7 }]
    {
        let found = listed(&here, &[Report::Ended { reason: reason.clone() }]);
        let row = here.session(session(1)).unwrap();
        let over =
            Unhealed::Over { session: row.id, user: row.user.clone(), reason: reason.clone() };
        assert_eq!(found, [over]);
        assert_eq!(found[0].kind(), "session-over");
        // Its agent says so here too: nothing is left to do.
        let mut told = here.clone();
        let ended = Report::Ended { reason };
        drive(&mut told, [(1, report(1, ended.clone()), DONE)]);
        let mut lower = here.clone();
        drive(&mut lower, [(1, report(1, ended), DONE)]);
        assert_eq!(told.unhealed(&lower), []);
    }
}

#[test]
fn a_configuration_is_listed_until_its_text_is_taken_again() {
    let set = |base, text: &str| Change::SetConfig {
        base,
        text: text.into(),
        by: "ada".into(),
        note: "more room".into(),
    };
    let mut winner = cluster();
    drive(&mut winner, [(1, set(0, "both"), DONE)]);
    let mut lower = winner.clone();
    assert_eq!(kinds(&winner, &lower), [""; 0]);
    drive(&mut lower, [(2, set(1, "on the way"), DONE), (3, set(2, "theirs"), DONE)]);
    assert_eq!(winner.unhealed(&lower), [Unhealed::Configured(lower.config().clone())]);
    assert_eq!(
        winner.unhealed(&lower)[0].to_string(),
        "configuration 3 was taken from ada (more room): apply it again; abide ha aside --json has its text"
    );
    drive(&mut winner, [(4, set(1, "ours"), DONE)]);
    assert_eq!(kinds(&winner, &lower), ["configured"], "another one does not do");
    drive(&mut winner, [(5, set(2, "theirs"), DONE), (6, set(3, "later"), DONE)]);
    assert_eq!(kinds(&winner, &lower), [""; 0]);
}
