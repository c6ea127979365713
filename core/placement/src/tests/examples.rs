use std::time::Duration;

use abide_model::Label;
use abide_policy::PressureLimits;

use super::{CALM, candidate, id};
use crate::{Candidate, Hearing, Load, choose, explain};

type Spoil = fn(&mut Candidate<'_>);

fn words(candidates: &[Candidate<'_>]) -> Vec<&'static str> {
    explain(candidates, &PressureLimits::default()).verdicts.iter().map(|it| it.word()).collect()
}

#[test]
fn the_fewest_sessions_for_its_weight_win() {
    let ids = [id(1), id(2), id(3)];
    let mut all = [candidate(&ids[0], 3), candidate(&ids[1], 5), candidate(&ids[2], 4)];
    all[1].weight = 2;
    assert_eq!(words(&all), ["more-loaded", "taken", "has-its-share"]);
}

/// What keeps an agent from being taken though it has fewer sessions, and the words for it.
#[test]
fn what_bars_an_agent_is_said_with_its_numbers() {
    let cases: [(Spoil, &str, &str); 10] = [
        (|it| it.hearing = Hearing::Unreachable, "unreachable", "no broker hears it"),
        (|it| it.is_drained = true, "drained", "no new sessions"),
        (|it| it.in_pool = false, "out-of-pool", "pool"),
        (|it| it.offers_profile = false, "no-such-profile", "profile"),
        (|it| it.most = Some(2), "full", "has 2 sessions and takes 2 at most"),
        (|it| it.hearing = Hearing::Quiet, "quiet", "not been heard for a moment"),
        (|it| it.load = None, "stale-load", "not told its load"),
        (
            |it| it.load = Some(Load { age: Duration::from_millis(6_100), ..CALM }),
            "stale-load",
            "6 s ago",
        ),
        (
            |it| it.load = Some(Load { cpu_pressure: 4_050, ..CALM }),
            "under-pressure",
            "40.5 % of the time for a processor, and 40 % is much",
        ),
        (|it| it.failed = Some(Duration::from_secs(299)), "failed-start", "failed there 299 s ago"),
    ];
    let ids = [id(1), id(2)];
    for (spoil, word, why) in cases {
        let mut all = [candidate(&ids[0], 2), candidate(&ids[1], 9)];
        spoil(&mut all[0]);
        let explained = explain(&all, &PressureLimits::default());
        assert_eq!((explained.taken, explained.verdicts[0].word()), (Some(1), word));
        let said = explained.verdicts[0].to_string();
        assert!(said.contains(why), "{said}");
    }
    let gpu: [Label; 1] = ["gpu".parse().unwrap()];
    let mut all = [candidate(&ids[0], 0), candidate(&ids[1], 9)];
    all[0].missing = &gpu;
    let explained = explain(&all, &PressureLimits::default());
    assert_eq!(explained.taken, Some(1));
    assert!(explained.verdicts[0].to_string().contains("does not have: gpu"));
}

#[test]
fn pressure_is_what_the_configuration_says_it_is() {
    let ids = [id(1), id(2)];
    let mut all = [candidate(&ids[0], 0), candidate(&ids[1], 9)];
    for (load, presses) in [
        (Load { cpu_pressure: 3_999, ..CALM }, false),
        (Load { cpu_pressure: 4_000, ..CALM }, true),
        (Load { memory_pressure: 1_000, ..CALM }, true),
        (Load { memory_left: Some(500), ..CALM }, false),
        (Load { memory_left: Some(499), ..CALM }, true),
        (Load { memory_left: None, ..CALM }, false),
    ] {
        all[0].load = Some(load);
        let taken = choose(&all, &PressureLimits::default());
        assert_eq!(taken, Some(usize::from(presses)), "{load:?}");
    }
}

#[test]
fn an_agent_that_failed_is_taken_again_after_a_while() {
    let ids = [id(1), id(2)];
    let mut all = [candidate(&ids[0], 0), candidate(&ids[1], 9)];
    all[0].failed = Some(Duration::from_secs(300));
    assert_eq!(choose(&all, &PressureLimits::default()), Some(0));
}

#[test]
fn a_users_sessions_stay_together_only_where_they_do_well() {
    let ids = [id(1), id(2)];
    let mut all = [candidate(&ids[0], 0), candidate(&ids[1], 9)];
    all[1].of_user = 1;
    assert_eq!(words(&all), ["user-elsewhere", "taken"]);
    let spoils: [Spoil; 8] = [
        |it| it.hearing = Hearing::Unreachable,
        |it| it.hearing = Hearing::Quiet,
        |it| it.is_drained = true,
        |it| it.in_pool = false,
        |it| it.most = Some(9),
        |it| it.load = None,
        |it| it.load = Some(Load { memory_pressure: 9_000, ..CALM }),
        |it| it.failed = Some(Duration::ZERO),
    ];
    for spoil in spoils {
        let mut all = all;
        spoil(&mut all[1]);
        assert_eq!(choose(&all, &PressureLimits::default()), Some(0), "{:?}", all[1]);
    }
    // Where all are under pressure, none is better off.
    for it in &mut all {
        it.load = Some(Load { cpu_pressure: 9_000, ..CALM });
    }
    assert_eq!(choose(&all, &PressureLimits::default()), Some(1));
}

#[test]
fn whoever_is_out_of_favour_is_better_than_nobody() {
    let only = id(1);
    let spoils: [(Spoil, &str); 4] = [
        (|it| it.hearing = Hearing::Quiet, "though it has not been heard for a moment"),
        (|it| it.load = None, "though its load is not known"),
        (|it| it.load = Some(Load { cpu_pressure: 9_000, ..CALM }), "though it is under pressure"),
        (|it| it.failed = Some(Duration::ZERO), "though a start failed there lately"),
    ];
    for (spoil, why) in spoils {
        let mut all = [candidate(&only, 0)];
        spoil(&mut all[0]);
        assert_eq!(words(&all), ["taken"]);
        let explained = explain(&all, &PressureLimits::default());
        let said = explained.verdicts[0].to_string();
        assert_eq!(said, format!("it is the only one that can take it, {why}"));
    }
}

#[test]
fn nobody_is_taken_where_nobody_can() {
    let only = id(1);
    let mut all = [candidate(&only, 0)];
    all[0].offers_profile = false;
    assert_eq!(words(&all), ["no-such-profile"]);
    assert_eq!(choose(&[], &PressureLimits::default()), None);
}
