//! What does not come back by itself from data that were set aside.

use super::*;

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
