//! Whatever happens to brokers, nothing fails, is lost, or is there twice. Three rounds each; the
//! full counts are played by `cargo xtask lab --scenario NAME --rounds N`.

use abide_lab::cluster::{Lab, Plan};
use abide_lab::round::Rounds;
use abide_lab::scenario::named;
use abide_lab::world;

const ROUNDS: u32 = 3;

async fn hold(name: &str, is_far: bool) -> anyhow::Result<()> {
    let scenario = named(name).unwrap();
    let mut rounds =
        Rounds::prepare(Lab::start(Plan { brokers: 3, agents: 2, is_far }).await?, 4).await?;
    for number in 1..=ROUNDS {
        let round = rounds.play(scenario).await?;
        eprintln!("{name}, round {number}: {}", serde_json::to_string(&round)?);
        assert_eq!(round.failed, [""; 0], "failed in round {number}");
        assert_eq!(round.audit.lost, [""; 0], "lost in round {number}");
        assert_eq!(round.audit.duplicates, [""; 0], "double in round {number}");
    }
    Ok(())
}

macro_rules! promises {
    ($($promise:ident: $scenario:literal;)*) => {$(
        #[test]
        fn $promise() {
            world::test($promise, hold($scenario, false));
        }
    )*};
}

promises! {
    a_killed_leader_costs_time_alone: "leader-kill";
    a_leader_that_stands_still_costs_time_alone: "leader-freeze";
    a_leader_whose_cable_is_out_costs_time_alone: "leader-unplug";
    a_leader_that_is_cut_off_costs_time_alone: "leader-cut";
    a_leader_that_cannot_receive_costs_time_alone: "leader-deaf";
    a_leader_that_cannot_send_costs_time_alone: "leader-mute";
    a_follower_that_was_cut_off_deposes_nobody: "follower-cut";
    an_agent_that_the_leader_cannot_reach_is_reached_through_others: "leader-agent-cut";
    an_agent_that_does_not_hear_the_leader_is_spoken_to_through_others: "leader-agent-mute";
    an_agent_whose_carrier_is_killed_is_reached_through_another: "carrier-kill";
    a_leader_stopped_in_order_costs_time_alone: "leader-stop";
    a_rolling_restart_costs_time_alone: "rolling-restart";
    lost_frames_cost_time_alone: "loss";
}

#[test]
fn a_killed_leader_costs_time_alone_on_long_bad_lines() {
    world::test(a_killed_leader_costs_time_alone_on_long_bad_lines, hold("leader-kill", true));
}
