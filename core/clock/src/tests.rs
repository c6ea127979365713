use abide_model::Timestamp;
use proptest::prelude::*;

use crate::{Guard, Others, PATIENCE_MS, Reading, SLACK_MS, Sighting, Uptime, Verdict};

const HOUR: u64 = 3_600_000;
const WEEK: u64 = 7 * 24 * HOUR;
/// The right time at uptime 0.
const T: u64 = 1_700_000_000_000;

/// A look at `uptime` with a clock that is `off` from the right time.
fn reading(uptime: u64, off: i64) -> Reading {
    Reading { wall: right(uptime, off), uptime: Uptime(uptime) }
}

fn right(uptime: u64, off: i64) -> Timestamp {
    Timestamp((T + uptime).saturating_add_signed(off))
}

fn others(uptime: u64, brokers: &[i64], agents: &[i64]) -> Others {
    let clocks = |offs: &[i64]| offs.iter().map(|off| right(uptime, *off)).collect();
    Others { brokers: clocks(brokers), agents: clocks(agents), exist: true }
}

const AHEAD: i64 = 5 * HOUR as i64;

#[test]
fn a_clock_that_goes_on_from_the_tables_time_is_believed_without_witnesses() {
    let mut guard = Guard::default();
    for uptime in [0, 10, 20_000, WEEK] {
        let now = reading(uptime, 300_000);
        let judged = guard.look(now, Timestamp(T), || others(uptime, &[], &[]));
        assert_eq!(judged, Verdict::Own(now.wall));
    }
}

#[test]
fn hours_ahead_of_the_table_and_of_the_others_is_not_believed() {
    for (brokers, agents) in
        [(&[0, 100][..], &[-50][..]), (&[0], &[]), (&[], &[0]), (&[], &[0, 0, 0])]
    {
        let mut guard = Guard::default();
        let judged = guard.look(reading(0, AHEAD), Timestamp(T), || others(0, brokers, agents));
        let Verdict::Others(time) = judged else { panic!("{judged:?}") };
        assert!(time.0.abs_diff(T) <= 100, "{judged:?}");
        // And runs on evenly.
        let later = guard.look(reading(7_000, AHEAD), time, || others(7_000, brokers, agents));
        assert_eq!(later, Verdict::Others(time.plus(7_000)));
    }
}

#[test]
fn a_week_without_power_is_believed_when_the_others_say_the_same() {
    for (brokers, agents) in
        [(&[0, 0][..], &[0][..]), (&[0], &[]), (&[], &[0]), (&[], &[-AHEAD / 100])]
    {
        let mut guard = Guard::default();
        let judged = guard.look(reading(0, 0), Timestamp(T - WEEK), || others(0, brokers, agents));
        assert_eq!(judged, Verdict::Own(Timestamp(T)), "{brokers:?} {agents:?}");
    }
}

#[test]
fn one_agent_whose_clock_is_ahead_does_not_hold_up_a_lone_broker_that_was_off() {
    let mut guard = Guard::default();
    let judged = guard.look(reading(0, 0), Timestamp(T - WEEK), || others(0, &[], &[AHEAD]));
    assert_eq!(judged, Verdict::Own(Timestamp(T)));
}

#[test]
fn without_witnesses_a_jump_is_believed_after_a_while_and_at_once_where_there_can_be_none() {
    let mut guard = Guard::default();
    let nobody = Others { exist: true, ..Others::default() };
    for uptime in [0, 5_000, PATIENCE_MS - 1] {
        let judged = guard.look(reading(uptime, 0), Timestamp(T - WEEK), || nobody.clone());
        assert_eq!(judged, Verdict::Doubt);
    }
    let judged = guard.look(reading(PATIENCE_MS, 0), Timestamp(T - WEEK), || nobody);
    assert_eq!(judged, Verdict::Own(right(PATIENCE_MS, 0)));
    let alone = Guard::default().look(reading(0, 0), Timestamp(T - WEEK), Others::default);
    assert_eq!(alone, Verdict::Own(Timestamp(T)));
}

#[test]
fn silence_does_not_rehabilitate_a_clock_that_the_others_spoke_against() {
    let mut guard = Guard::default();
    guard.look(reading(0, AHEAD), Timestamp(T), || others(0, &[0], &[0]));
    for uptime in [30_000, 60_000, HOUR] {
        let judged = guard.look(reading(uptime, AHEAD), Timestamp(T), || others(0, &[], &[]));
        assert_eq!(judged, Verdict::Others(right(uptime, 0)));
    }
    let mended = reading(2 * HOUR, 0);
    let judged = guard.look(mended, Timestamp(T), || others(0, &[], &[]));
    assert_eq!(judged, Verdict::Own(mended.wall));
}

#[test]
fn a_clock_that_is_set_wrong_while_it_runs_is_noticed() {
    let mut guard = Guard::default();
    let near = |uptime| move || others(uptime, &[0], &[0, 0]);
    for uptime in [0, 5, 10] {
        guard.look(reading(uptime, 0), Timestamp(T), near(uptime));
    }
    // Within the time for which a judgement holds.
    let judged = guard.look(reading(20, -AHEAD), Timestamp(T), near(20));
    assert_eq!(judged, Verdict::Others(right(20, 0)));
}

#[test]
fn an_empty_table_expects_nothing_but_one_that_fills_is_a_witness() {
    let mut guard = Guard::default();
    let judged = guard.look(reading(0, AHEAD), Timestamp(0), || others(0, &[], &[]));
    assert_eq!(judged, Verdict::Own(right(0, AHEAD)));
    let judged = guard.look(reading(1_000, AHEAD), right(1_000, 0), || others(1_000, &[0], &[]));
    assert_eq!(judged, Verdict::Others(right(1_000, 0)));
}

#[test]
fn a_table_that_is_ahead_for_good_does_not_take_the_clock_along() {
    let mut guard = Guard::default();
    for uptime in [0, 2_000, HOUR] {
        let now = reading(uptime, 0);
        let judged = guard.look(now, Timestamp(T + 5 * HOUR), || others(uptime, &[0], &[0]));
        assert_eq!(judged, Verdict::Own(now.wall));
    }
}

#[test]
fn a_clock_that_was_seen_long_ago_says_nothing() {
    let seen = Sighting(reading(1_000, 0));
    assert_eq!(seen.now(Uptime(5_000)), Some(right(5_000, 0)));
    assert_eq!(seen.now(Uptime(1_000 + crate::FRESH_MS)), None);
}

proptest! {
    /// Whichever clocks are wrong, by whatever: where more than half of the voices are right, so is what
    /// comes out.
    #[test]
    fn a_majority_of_right_voices_gives_the_right_time(
        own in off(),
        wrong in prop::collection::vec(off(), 0..6),
        more in 1_usize..4,
        jitter in -2_000_i64..2_000,
        quiet in 0..2 * WEEK,
    ) {
        // Own may be wrong too, and so may the table be.
        let mut brokers = wrong.clone();
        brokers.extend(vec![jitter; wrong.len() + 1 + more]);
        let table = Timestamp(T - quiet);
        let judged = Guard::default().look(reading(0, own), table, || others(0, &brokers, &[]));
        let time = match judged {
            Verdict::Own(time) | Verdict::Others(time) => time,
            Verdict::Doubt => return Err(TestCaseError::fail("doubt among many")),
        };
        prop_assert!(time.0.abs_diff(T) <= SLACK_MS + 2_000, "{judged:?}");
    }

    /// Agents alone take the time nowhere: it stays between the brokers' clocks and the table's.
    #[test]
    fn agents_cannot_take_the_time_where_no_broker_is(
        own in off(),
        brokers in prop::collection::vec(off(), 0..4),
        agents in prop::collection::vec(off(), 0..50),
        quiet in 0..2 * WEEK,
    ) {
        let table = Timestamp(T - quiet);
        let judged = Guard::default().look(reading(0, own), table, || others(0, &brokers, &agents));
        if let Verdict::Own(time) | Verdict::Others(time) = judged {
            let all: Vec<_> = brokers.iter().chain([&own]).map(|off| right(0, *off)).chain([table]).collect();
            prop_assert!(all.iter().min() <= Some(&time) && Some(&time) <= all.iter().max());
        }
    }

    /// However long it is looked at, nobody waits for longer than the patience.
    #[test]
    fn doubt_ends(
        steps in prop::collection::vec((0_u64..3_000, off()), 1..50),
        quiet in 0..2 * WEEK,
    ) {
        let (mut guard, mut uptime, mut doubts) = (Guard::default(), 0, None);
        for (step, own) in steps {
            uptime += step;
            let nobody = Others { exist: true, ..Others::default() };
            match guard.look(reading(uptime, own), Timestamp(T - quiet), || nobody) {
                Verdict::Doubt => {
                    let since = *doubts.get_or_insert(uptime);
                    prop_assert!(uptime - since < PATIENCE_MS);
                }
                Verdict::Own(_) | Verdict::Others(_) => doubts = None,
            }
        }
    }

    /// What the others' clocks say is told without jumps while they run evenly.
    #[test]
    fn the_others_time_runs_evenly(
        steps in prop::collection::vec((0_u64..20_000, -3_000_i64..3_000), 1..50),
    ) {
        let (mut guard, mut uptime, mut last) = (Guard::default(), 0, None::<(u64, Timestamp)>);
        for (step, jitter) in steps {
            uptime += step;
            let heard = others(uptime, &[jitter, 0, -jitter / 2], &[jitter]);
            let judged = guard.look(reading(uptime, AHEAD), Timestamp(T), || heard);
            let Verdict::Others(time) = judged else { panic!("{judged:?}") };
            if let Some((then, was)) = last {
                prop_assert_eq!(time.since(was), uptime - then);
            }
            last = Some((uptime, time));
        }
    }
}

/// A clock's error: small, hours, or weeks.
fn off() -> impl Strategy<Value = i64> {
    prop_oneof![
        -60_000_i64..60_000,
        -10 * HOUR as i64..10 * HOUR as i64,
        -2 * WEEK as i64..2 * WEEK as i64,
    ]
}
