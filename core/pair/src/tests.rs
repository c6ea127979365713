//! The rule, case by case, and what holds in every case.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn claim(generation: u64, claimant: u64) -> Claim {
    Claim { generation, claimant }
}

/// A voter under a standing order whose peer has been silent for long.
fn alone() -> View {
    View {
        policy: Policy { takeover: Takeover::Unfenced, peer_timeout: MS(1000) },
        order: Some(Order { accept_stale: false }),
        standing: Standing::Alone { silent: MS(5000) },
        mine: Mine { claim: claim(2, 7), term: 5, pristine: false, votes: true, retired: false },
        peer: Peer::default(),
        agents: Agents { known: 1, told: 1, claim: claim(2, 7), term: 5 },
        met: true,
    }
}

fn fenced() -> View {
    let view = alone();
    View { policy: Policy { takeover: Takeover::Fenced, ..view.policy }, ..view }
}

fn silent(view: View, ms: u64) -> View {
    View { standing: Standing::Alone { silent: MS(ms) }, ..view }
}

fn proven(view: View, proof: Proof) -> View {
    View { peer: Peer { proof: Some(proof), ..view.peer }, ..view }
}

#[test]
fn silence_is_enough_under_unfenced_and_never_under_fenced() {
    assert_eq!(decide(&silent(alone(), 999)), Decision::Wait(Why::Silence));
    assert_eq!(decide(&silent(alone(), 1000)), Decision::Force(Forced::Silent));
    assert_eq!(decide(&silent(fenced(), 999)), Decision::Wait(Why::Silence));
    assert_eq!(decide(&silent(fenced(), 600_000)), Decision::Unproven);
}

#[test]
fn proof_counts_at_once_under_both() {
    for proof in [Proof::Vouched, Proof::Retired, Proof::AnotherLife] {
        for view in [alone(), fenced()] {
            let decision = decide(&proven(silent(view, 0), proof));
            assert_eq!(decision, Decision::Force(Forced::Proven(proof)));
        }
    }
}

#[test]
fn a_peer_that_answers_is_given_the_time_of_an_election() {
    let answers = Peer { answers: true, claim: Some(claim(2, 7)), proof: None, leans: false };
    let view = View { peer: answers, ..alone() };
    assert_eq!(decide(&silent(view, 2999)), Decision::Wait(Why::Silence));
    assert_eq!(decide(&silent(view, 3000)), Decision::Force(Forced::Silent));
}

#[test]
fn nobody_goes_on_alone_without_an_order() {
    let view = View { order: None, ..proven(alone(), Proof::Vouched) };
    assert_eq!(decide(&view), Decision::Wait(Why::NoOrder));
}

#[test]
fn the_order_of_a_peer_that_has_lost_its_data_is_enough_but_makes_no_data_newer() {
    let leans = |view: View| {
        let view = proven(View { order: None, ..view }, Proof::AnotherLife);
        View { peer: Peer { answers: true, leans: true, ..view.peer }, ..view }
    };
    for view in [alone(), fenced()] {
        let forced = Decision::Force(Forced::Proven(Proof::AnotherLife));
        assert_eq!(decide(&leans(silent(view, 0))), forced);
        let stale = View { mine: Mine { votes: false, ..view.mine }, ..view };
        assert_eq!(decide(&leans(stale)), Decision::Refuse(Stale::NoVoter));
    }
}

#[test]
fn whoever_is_led_or_leads_has_nothing_to_decide() {
    for (standing, decision) in [
        (Standing::Leads, Decision::Serve),
        (Standing::Follows, Decision::Follow),
        (Standing::Learns, Decision::Wait(Why::Learning)),
    ] {
        assert_eq!(decide(&View { standing, ..proven(alone(), Proof::Vouched) }), decision);
    }
}

#[test]
fn the_higher_claim_wins_also_over_a_leader() {
    let peer = |generation, claimant| Peer {
        claim: Some(claim(generation, claimant)),
        answers: true,
        proof: None,
        leans: false,
    };
    for standing in [Standing::Leads, Standing::Follows, Standing::Alone { silent: MS(9000) }] {
        for higher in [(3, 1), (2, 8)] {
            let view = View { standing, peer: peer(higher.0, higher.1), ..alone() };
            assert_eq!(decide(&view), Decision::Rejoin(claim(higher.0, higher.1)));
        }
        for lower in [(1, 99), (2, 6), (2, 7)] {
            let view = View { standing, peer: peer(lower.0, lower.1), ..alone() };
            assert!(!matches!(decide(&view), Decision::Rejoin(_)), "{lower:?}");
        }
    }
    let nothing = Mine { pristine: true, ..alone().mine };
    let view = View { mine: nothing, standing: Standing::Learns, peer: peer(9, 9), ..alone() };
    assert_eq!(decide(&view), Decision::Wait(Why::Learning), "there is nothing to set aside");
}

#[test]
fn stale_data_are_refused_unless_a_person_accepts_that() {
    let mine = alone().mine;
    let more = |claim, term| Agents { known: 3, told: 1, claim, term };
    let cases = [
        (View { mine: Mine { votes: false, ..mine }, ..alone() }, Stale::NoVoter),
        (View { mine: Mine { pristine: true, ..mine }, ..alone() }, Stale::NoVoter),
        (View { mine: Mine { retired: true, ..mine }, ..alone() }, Stale::Retired),
        (View { agents: more(claim(3, 1), 1), ..alone() }, Stale::AgentsKnowMore),
        (View { agents: more(claim(2, 8), 1), ..alone() }, Stale::AgentsKnowMore),
        (View { agents: more(claim(2, 7), 6), ..alone() }, Stale::AgentsKnowMore),
    ];
    for (view, why) in cases {
        assert_eq!(decide(&view), Decision::Refuse(why));
        let proven = proven(view, Proof::Vouched);
        assert_eq!(decide(&proven), Decision::Refuse(why), "proof makes no data newer");
        assert_eq!(decide(&silent(view, 10)), Decision::Wait(Why::Silence));
        let accepts = View { order: Some(Order { accept_stale: true }), ..view };
        assert_eq!(decide(&accepts), Decision::Force(Forced::Recovery));
        let fenced = View { policy: fenced().policy, ..accepts };
        assert_eq!(decide(&fenced), Decision::Unproven, "that the peer is down is another matter");
    }
}

/// Of so many agents, as many answer; nobody knows more than this node.
fn answered(view: View, known: usize, told: usize) -> View {
    View { agents: Agents { known, told, ..view.agents }, ..view }
}

const ON_PROOF: Decision = Decision::Force(Forced::Proven(Proof::Vouched));

#[test]
fn after_a_start_fenced_wants_more_than_half_of_the_agents_as_witnesses_and_unfenced_none() {
    let cold = |view| proven(View { met: false, ..view }, Proof::Vouched);
    let refused = Decision::Refuse(Stale::NobodyKnows);
    for (known, enough) in [(0, 1), (1, 1), (2, 2), (3, 2), (4, 3), (5, 3)] {
        for told in 0..=known {
            let decision = decide(&answered(cold(fenced()), known, told));
            assert_eq!(
                decision,
                if told >= enough { ON_PROOF } else { refused },
                "{told} of {known}"
            );
            assert_eq!(decide(&answered(cold(alone()), known, told)), ON_PROOF);
        }
    }
    // They come back within a second or so.
    let early = silent(answered(cold(fenced()), 3, 1), 2999);
    assert_eq!(decide(&early), Decision::Wait(Why::Agents));
    let accepts = View { order: Some(Order { accept_stale: true }), ..early };
    assert_eq!(decide(&accepts), Decision::Force(Forced::Recovery));
}

#[test]
fn who_has_met_its_peer_wants_no_witnesses_and_promises_of_half_of_the_agents() {
    for (known, enough) in [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2), (5, 3)] {
        for told in 0..=known {
            let view = answered(proven(fenced(), Proof::Vouched), known, told);
            let waits = Decision::Wait(Why::Agents);
            assert_eq!(decide(&view), if told >= enough { ON_PROOF } else { waits });
            let accepts = View { order: Some(Order { accept_stale: true }), ..view };
            assert_eq!(decide(&accepts), ON_PROOF, "a person may say that it need not be told");
        }
    }
}

#[test]
fn a_peer_that_cannot_go_on_need_not_be_kept_from_it() {
    let nobody = |proof| decide(&answered(proven(fenced(), proof), 3, 0));
    for proof in [Proof::Retired, Proof::AnotherLife] {
        assert_eq!(nobody(proof), Decision::Force(Forced::Proven(proof)));
    }
    let cold = |proof| decide(&answered(proven(View { met: false, ..fenced() }, proof), 3, 0));
    assert_eq!(cold(Proof::Retired), Decision::Force(Forced::Proven(Proof::Retired)));
    // It may have, before it lost its data.
    assert_eq!(cold(Proof::AnotherLife), Decision::Refuse(Stale::NobodyKnows));
}

fn claims() -> impl Strategy<Value = Claim> {
    (0..4_u64, 0..4_u64).prop_map(|(generation, claimant)| Claim { generation, claimant })
}

fn views() -> impl Strategy<Value = View> {
    let takeover = prop_oneof![Just(Takeover::Fenced), Just(Takeover::Unfenced)];
    let order = prop::option::of(any::<bool>().prop_map(|accept_stale| Order { accept_stale }));
    let standing = prop_oneof![
        Just(Standing::Leads),
        Just(Standing::Follows),
        Just(Standing::Learns),
        (0..5000_u64).prop_map(|ms| Standing::Alone { silent: MS(ms) }),
    ];
    let mine = (claims(), 0..4_u64, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(claim, term, pristine, votes, retired)| Mine { claim, term, pristine, votes, retired },
    );
    let proof = prop::option::of(prop_oneof![
        Just(Proof::Vouched),
        Just(Proof::Retired),
        Just(Proof::AnotherLife)
    ]);
    let peer = (prop::option::of(claims()), any::<bool>(), proof, any::<bool>())
        .prop_map(|(claim, answers, proof, leans)| Peer { claim, answers, proof, leans });
    let agents = (0..3_usize, 0..3_usize, claims(), 0..4_u64)
        .prop_map(|(known, told, claim, term)| Agents { known, told, claim, term });
    (takeover, order, standing, mine, peer, agents, any::<bool>()).prop_map(
        |(takeover, order, standing, mine, peer, agents, met)| View {
            policy: Policy { takeover, peer_timeout: MS(1000) },
            order,
            standing,
            mine,
            peer,
            agents,
            met,
        },
    )
}

proptest! {
    #[test]
    fn whatever_is_known(view in views()) {
        let decision = decide(&view);
        if let Decision::Force(forced) = decision {
            prop_assert!(view.order.is_some() || view.peer.leans, "by order alone");
            prop_assert!(matches!(view.standing, Standing::Alone { .. }), "nobody leads");
            let fenced = view.policy.takeover == Takeover::Fenced;
            prop_assert!(!fenced || view.peer.proof.is_some(), "on proof alone");
            let outbid = view.peer.claim.is_some_and(|it| it > view.mine.claim);
            prop_assert!(!outbid || view.mine.pristine, "never against a higher claim");
            prop_assert_eq!(forced == Forced::Recovery, stale(&view).is_some());
            prop_assert!(stale(&view).is_none() || view.order.is_some_and(|it| it.accept_stale));
            let none_knows_more = forced == Forced::Recovery || view.agents.told >= view.witnesses();
            prop_assert!(none_knows_more);
        }
        if decision == Decision::Serve {
            prop_assert_eq!(view.standing, Standing::Leads);
        }
    }

    /// Of two that go on from the same data with proof, each of which has asked as many as it must, one is told of
    /// the other: unless both have met the other since they were last down, which proof excludes.
    #[test]
    fn of_two_that_go_on_one_hears_of_the_other(known in 0..9_usize, one in any::<bool>()) {
        let with = |met| answered(proven(View { met, ..fenced() }, Proof::Vouched), known, known);
        let (mine, theirs) = (with(one), with(false));
        prop_assert!(theirs.witnesses() > 0);
        prop_assert!(mine.promises() + theirs.witnesses() > known, "what it was promised is seen");
        prop_assert!(mine.promises() + theirs.promises() > known, "also if both ask at once");
    }

    /// Of two nodes that have met, one at the most sets its data aside, and exactly one if they differ.
    #[test]
    fn of_two_claims_one_gives_way(mine in views(), theirs in views()) {
        let told = |to: View, from: &View| View {
            mine: Mine { pristine: false, ..to.mine },
            peer: Peer { claim: Some(from.mine.claim), ..to.peer },
            ..to
        };
        let (a, b) = (told(mine, &theirs), told(theirs, &mine));
        let gives_way = [a, b].map(|it| matches!(decide(&it), Decision::Rejoin(_)));
        let differ = a.mine.claim != b.mine.claim;
        prop_assert_eq!(gives_way.iter().filter(|it| **it).count(), usize::from(differ));
    }
}
