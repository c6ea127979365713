//! The seeds that CI runs, and those that once found something.

use std::process::Command;

/// `ABIDE_SEEDS` says how many seeds are run.
#[test]
fn a_cluster_keeps_its_promises_under_five_hundred_seeds() {
    let seeds = std::env::var("ABIDE_SEEDS").unwrap_or_else(|_| "500".to_owned());
    sim(&["--seeds", &seeds]);
}

#[test]
fn a_session_that_a_lost_table_had_superseded_may_live_beside_its_successor() {
    replay(1998);
}

#[test]
fn a_reservation_is_placed_anew_although_the_clock_that_saw_the_silence_was_hours_ahead() {
    for seed in [4371, 9400] {
        replay(seed);
    }
}

#[test]
fn a_session_of_whose_end_only_the_lower_claim_was_told_is_listed() {
    replay(293);
}

/// Each loses something if nobody promises anything.
#[test]
fn a_fenced_takeover_whose_node_dies_at_once_is_not_forgotten() {
    for seed in [625, 1449] {
        replay(seed);
    }
}

#[test]
fn a_leader_that_leads_on_after_a_power_cut_of_all_answers_nothing_older() {
    replay(1685);
}

#[test]
fn one_seed_gives_the_same_trace_every_time() {
    assert_eq!(replay(7), replay(7));
    assert_ne!(replay(7), replay(8));
    // A pair.
    assert_eq!(replay(9), replay(9));
}

/// Gives the hash of the seed's trace.
fn replay(seed: u64) -> String {
    sim(&["--quiet", "--seed", &seed.to_string()])
}

fn sim(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_abide-sim")).args(arguments).output();
    let output = output.expect("the program runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}
