use abide_model::AgentId;
use proptest::prelude::*;

use super::{Candidate, Verdict, choose};

fn id(n: usize) -> AgentId {
    format!("{n:032x}").parse().unwrap()
}

fn candidate(agent: &AgentId, sessions: u32) -> Candidate<'_> {
    Candidate { agent, weight: 1, sessions, of_user: 0, is_reachable: true, offers_profile: true }
}

#[test]
fn the_fewest_sessions_for_its_weight_win() {
    let ids = [id(1), id(2), id(3)];
    let mut all = [candidate(&ids[0], 3), candidate(&ids[1], 5), candidate(&ids[2], 4)];
    all[1].weight = 2;
    let choice = choose(&all);
    assert_eq!(choice.taken, Some(1));
    assert_eq!(
        choice.verdicts,
        [Verdict::MoreLoaded, Verdict::TakenForItsLoad, Verdict::MoreLoaded]
    );
}

#[test]
fn a_users_sessions_stay_together_while_their_agent_can_be_heard() {
    let ids = [id(1), id(2)];
    let mut all = [candidate(&ids[0], 0), candidate(&ids[1], 9)];
    all[1].of_user = 1;
    assert_eq!(choose(&all).verdicts, [Verdict::UserElsewhere, Verdict::TakenForItsUser]);
    all[1].is_reachable = false;
    assert_eq!(choose(&all).verdicts, [Verdict::TakenForItsLoad, Verdict::Unreachable]);
}

#[test]
fn nobody_is_taken_where_nobody_can() {
    let only = id(1);
    let mut all = [candidate(&only, 0)];
    all[0].offers_profile = false;
    let choice = choose(&all);
    assert_eq!((choice.taken, choice.verdicts), (None, vec![Verdict::NoSuchProfile]));
    assert_eq!(choose(&[]).taken, None);
}

proptest! {
    #[test]
    fn every_choice_keeps_the_rules(
        rows in prop::collection::vec(
            (0u32..5, 0u32..50, 0u32..3, any::<bool>(), any::<bool>()), 0..20),
    ) {
        let ids: Vec<_> = (0..rows.len()).map(id).collect();
        let all: Vec<_> = rows.iter().zip(&ids).map(|(row, agent)| Candidate {
            agent, weight: row.0, sessions: row.1, of_user: row.2,
            is_reachable: row.3, offers_profile: row.4,
        }).collect();
        let choice = choose(&all);
        prop_assert_eq!(choice.verdicts.len(), all.len());
        let able = |it: &&Candidate<'_>| it.is_reachable && it.offers_profile;
        prop_assert_eq!(choice.taken.is_some(), all.iter().any(|it| able(&it)));
        if let Some(at) = choice.taken {
            let taken = &all[at];
            prop_assert!(able(&taken));
            let together = all.iter().filter(able).any(|it| it.of_user > 0);
            prop_assert_eq!(taken.of_user > 0, together);
            for other in all.iter().filter(able).filter(|it| !together || it.of_user > 0) {
                let load = |it: &Candidate<'_>| f64::from(it.sessions) / f64::from(it.weight.max(1));
                prop_assert!(load(taken) <= load(other) + 1e-9);
            }
        }
    }

    #[test]
    fn equal_weights_share_evenly(agents in 1usize..8, starts in 0u32..100) {
        let ids: Vec<_> = (0..agents).map(id).collect();
        let mut all: Vec<_> = ids.iter().map(|agent| candidate(agent, 0)).collect();
        for _ in 0..starts {
            let at = choose(&all).taken.unwrap();
            all[at].sessions += 1;
        }
        let (least, most) = (all.iter().map(|it| it.sessions).min(), all.iter().map(|it| it.sessions).max());
        prop_assert!(most.unwrap() - least.unwrap() <= 1);
    }
}
