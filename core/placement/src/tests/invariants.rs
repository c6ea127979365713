//! The rules, each as what is true of every choice in a random cluster. Written from the crate's
//! description, not from its code.

use std::time::Duration;

use abide_model::{AgentId, Label};
use abide_policy::PressureLimits;
use proptest::prelude::*;

use super::id;
use crate::{Candidate, Ground, Hearing, Load, Verdict, choose, explain};

/// What a cluster is made of; `Candidate` borrows.
#[derive(Debug, Clone)]
struct Host {
    weight: u32,
    sessions: u32,
    of_user: u32,
    most: Option<u32>,
    hearing: Hearing,
    is_drained: bool,
    in_pool: bool,
    offers_profile: bool,
    missing: Vec<Label>,
    failed: Option<Duration>,
    load: Option<Load>,
}

fn host() -> impl Strategy<Value = Host> {
    let hearing = prop_oneof![
        8 => Just(Hearing::Heard),
        1 => Just(Hearing::Quiet),
        1 => Just(Hearing::Unreachable),
    ];
    let rarely = || prop::bool::weighted(0.15);
    let missing = prop_oneof![6 => Just(vec![]), 1 => Just(vec!["gpu".parse().unwrap()])];
    let failed = prop::option::weighted(0.2, (0..600_u64).prop_map(Duration::from_secs));
    let percents = || prop_oneof![4 => 0..500_u32, 1 => 0..10_000_u32];
    let left = prop::option::weighted(0.9, prop_oneof![1 => 0..1_000_u32, 4 => 0..10_000_u32]);
    let age = prop_oneof![5 => 0..3_000_u64, 1 => 0..9_000_u64];
    let load = (age, percents(), percents(), left).prop_map(
        |(age, cpu_pressure, memory_pressure, memory_left)| {
            let age = Duration::from_millis(age);
            Load { age, cpu_pressure, memory_pressure, memory_left }
        },
    );
    let numbers = (0..5_u32, 0..40_u32, prop::option::weighted(0.3, 0..50_u32));
    let of_user = prop_oneof![5 => Just(0_u32), 1 => 1..3_u32];
    let about = (hearing, rarely(), rarely(), rarely(), missing);
    (numbers, of_user, about, failed, prop::option::weighted(0.9, load)).prop_map(
        |((weight, sessions, most), of_user, about, failed, load)| {
            let (hearing, is_drained, elsewhere, lacks_profile, missing) = about;
            Host {
                weight,
                sessions: sessions.max(of_user),
                of_user,
                most,
                hearing,
                is_drained,
                in_pool: !elsewhere,
                offers_profile: !lacks_profile,
                missing,
                failed,
                load,
            }
        },
    )
}

fn limits() -> impl Strategy<Value = PressureLimits> {
    (1..100_u32, 1..100_u32, 0..50_u32, 0..600_u64).prop_map(|(cpu, memory, memory_left, avoid)| {
        PressureLimits { cpu, memory, memory_left, avoid_after_failure: Duration::from_secs(avoid) }
    })
}

fn candidates<'a>(hosts: &'a [Host], ids: &'a [AgentId]) -> Vec<Candidate<'a>> {
    let of = |(host, agent): (&'a Host, &'a AgentId)| Candidate {
        agent,
        weight: host.weight,
        sessions: host.sessions,
        of_user: host.of_user,
        most: host.most,
        hearing: host.hearing,
        is_drained: host.is_drained,
        in_pool: host.in_pool,
        offers_profile: host.offers_profile,
        missing: &host.missing,
        failed: host.failed,
        load: host.load,
    };
    hosts.iter().zip(ids).map(of).collect()
}

fn is_able(it: &Candidate<'_>) -> bool {
    it.in_pool
        && it.offers_profile
        && it.missing.is_empty()
        && !it.is_drained
        && it.hearing != Hearing::Unreachable
        && it.most.is_none_or(|most| it.sessions < most)
}

fn is_quiet(it: &Candidate<'_>) -> bool {
    it.hearing == Hearing::Quiet
}

fn is_stale(it: &Candidate<'_>) -> bool {
    it.load.is_none_or(|load| load.age > Duration::from_secs(5))
}

fn is_pressed(it: &Candidate<'_>, limits: &PressureLimits) -> bool {
    it.load.is_some_and(|load| {
        load.cpu_pressure >= limits.cpu * 100
            || load.memory_pressure >= limits.memory * 100
            || load.memory_left.is_some_and(|left| left < limits.memory_left * 100)
    })
}

fn is_avoided(it: &Candidate<'_>, limits: &PressureLimits) -> bool {
    it.failed.is_some_and(|ago| ago < limits.avoid_after_failure)
}

/// From the worst to the best: what makes one less welcome than another that could take it.
fn faults(it: &Candidate<'_>, limits: &PressureLimits) -> [bool; 4] {
    let trusted = !is_quiet(it) && !is_stale(it);
    [
        is_quiet(it),
        !is_quiet(it) && is_stale(it),
        trusted && is_pressed(it, limits),
        trusted && !is_pressed(it, limits) && is_avoided(it, limits),
    ]
}

fn after(it: &Candidate<'_>) -> f64 {
    (f64::from(it.sessions) + 1.0) / f64::from(it.weight.max(1))
}

const NEAR: f64 = 1e-9;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_choice_keeps_every_rule(
        hosts in prop::collection::vec(host(), 0..20), limits in limits(),
    ) {
        let ids: Vec<_> = (0..hosts.len()).map(id).collect();
        let all = candidates(&hosts, &ids);
        let able: Vec<_> = all.iter().filter(|it| is_able(it)).collect();
        let taken = choose(&all, &limits).map(|at| &all[at]);
        prop_assert_eq!(taken.is_some(), !able.is_empty(), "somebody is taken if anybody can be");
        let Some(taken) = taken else { return Ok(()) };
        prop_assert!(is_able(taken), "pool, profile, labels, maximum, drain, hearing");
        for other in &able {
            prop_assert!(
                faults(taken, &limits) <= faults(other, &limits),
                "{:?} is better than the one that is taken", other
            );
        }
        let peers = able.iter().filter(|it| faults(it, &limits) == faults(taken, &limits));
        let peers: Vec<_> = peers.copied().collect();
        let together = peers.iter().any(|it| it.of_user > 0);
        prop_assert!(!together || taken.of_user > 0, "a person's sessions together");
        let rivals = peers.iter().filter(|it| !together || it.of_user > 0);
        let rivals: Vec<_> = rivals.copied().collect();
        let weights: f64 = rivals.iter().map(|it| f64::from(it.weight.max(1))).sum();
        let sessions: f64 = 1.0 + rivals.iter().map(|it| f64::from(it.sessions)).sum::<f64>();
        let share = |it: &Candidate<'_>| f64::from(it.weight.max(1)) / weights * sessions;
        prop_assert!(f64::from(taken.sessions) < share(taken) + NEAR, "nobody beyond its share");
        for other in rivals {
            let has_share = f64::from(other.sessions) >= share(other) - NEAR;
            prop_assert!(has_share || after(taken) <= after(other) + NEAR, "{:?} has less", other);
            let is_equal = other.sessions == taken.sessions && other.weight == taken.weight;
            prop_assert!(!is_equal || taken.agent <= other.agent, "the lower id");
        }
    }

    #[test]
    fn each_explanation_agrees_with_the_choice(
        hosts in prop::collection::vec(host(), 0..20), limits in limits(),
    ) {
        let ids: Vec<_> = (0..hosts.len()).map(id).collect();
        let all = candidates(&hosts, &ids);
        let explained = explain(&all, &limits);
        prop_assert_eq!(explained.taken, choose(&all, &limits));
        prop_assert_eq!(explained.verdicts.len(), all.len());
        for (at, (it, verdict)) in all.iter().zip(&explained.verdicts).enumerate() {
            prop_assert_eq!(matches!(verdict, Verdict::Taken { .. }), explained.taken == Some(at));
            prop_assert_eq!(verdict.is_able(), is_able(it), "{}", verdict);
            let taken = explained.taken.map(|taken| &all[taken]);
            let is_true = match (verdict, taken) {
                (Verdict::OutOfPool, _) => !it.in_pool,
                (Verdict::Drained, _) => it.is_drained,
                (Verdict::Unreachable, _) => it.hearing == Hearing::Unreachable,
                (Verdict::NoSuchProfile, _) => !it.offers_profile,
                (Verdict::LabelsMissing(labels), _) => !labels.is_empty() && labels == it.missing,
                (Verdict::Full { most, sessions }, _) => {
                    it.most == Some(*most) && it.sessions == *sessions && sessions >= most
                }
                (_, None) => false,
                (Verdict::Quiet, Some(taken)) => is_quiet(it) && !is_quiet(taken),
                (Verdict::StaleLoad { age }, Some(taken)) => {
                    is_stale(it) && !is_stale(taken) && *age == it.load.map(|load| load.age)
                }
                (Verdict::UnderPressure(_), Some(taken)) => {
                    is_pressed(it, &limits) && !is_pressed(taken, &limits)
                }
                (Verdict::FailedStart { ago }, Some(taken)) => {
                    is_avoided(it, &limits) && !is_avoided(taken, &limits)
                        && it.failed == Some(*ago)
                }
                (Verdict::UserElsewhere, Some(taken)) => it.of_user == 0 && taken.of_user > 0,
                (Verdict::HasItsShare { sessions, share }, Some(_)) => {
                    it.sessions == *sessions && f64::from(*sessions) >= share - NEAR
                }
                (Verdict::MoreLoaded { would_have, taken_has }, Some(taken)) => {
                    *would_have == after(it) && *taken_has == after(taken)
                        && would_have >= taken_has
                }
                (Verdict::Taken { favour, .. }, _) if *favour != it.favour(&limits) => false,
                (Verdict::Taken { ground: Ground::ItsUser { of_user }, .. }, _) => {
                    it.of_user == *of_user
                }
                (Verdict::Taken { ground: Ground::Alone, .. }, _) => all.iter().filter(|it| is_able(it)).count() == 1,
                (Verdict::Taken { ground: Ground::ItsLoad { will_have, share }, .. }, _) => {
                    *will_have == after(it) && f64::from(it.sessions) < share + NEAR
                }
            };
            prop_assert!(is_true, "{:?}: {:?}", it, verdict);
        }
    }

    /// Whatever the weights are, and after each single session.
    #[test]
    fn nobody_is_ever_a_whole_session_from_the_share_of_its_weight(
        weights in prop::collection::vec(prop_oneof![1..4_u32, 1..1_000_u32], 1..24),
        starts in 1..400_u32,
    ) {
        let ids: Vec<_> = (0..weights.len()).map(id).collect();
        let mut all: Vec<_> = ids.iter().map(|agent| super::candidate(agent, 0)).collect();
        all.iter_mut().zip(&weights).for_each(|(it, weight)| it.weight = *weight);
        let sum: u32 = weights.iter().sum();
        for sessions in 1..=starts {
            let at = choose(&all, &PressureLimits::default()).unwrap();
            all[at].sessions += 1;
            for it in &all {
                let ideal = f64::from(sessions) * f64::from(it.weight) / f64::from(sum);
                let apart = (f64::from(it.sessions) - ideal).abs();
                prop_assert!(apart < 1.0, "{} of {sessions}, ideally {ideal}", it.sessions);
            }
        }
    }
}
