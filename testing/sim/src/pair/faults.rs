//! What goes wrong with a pair, besides what goes wrong with any cluster.
//!
//! | what | of |
//! |---|---|
//! | an ordered stop, which leaves the other one to go on | one, both in turn |
//! | a host without power: nobody has ordered its broker to serve when it is back | one |
//! | a cold start of both, and of one that is alone for a while | both |
//! | a cut between the brokers, and their managers, only | both |
//! | a manager that does not hear the other, though the brokers do | one |

use std::sync::Arc;
use std::time::Duration;

use abide_pair::Decision;
use tokio::time::{Instant, sleep};

use super::manager::take_power;
use super::{Mark, greet, order};
use crate::broker;
use crate::net::End;
use crate::world::World;

/// How long a manager waits for it that a broker serves.
const ACTIVATE: Duration = Duration::from_secs(10);
/// How many kinds there are.
pub const KINDS: u64 = 10;

/// One of them.
pub async fn one(world: &Arc<World>, broker: usize, what: u64) {
    let chance = &world.chance;
    match what {
        0..=1 => restart(world, broker, chance.millis(0, 3_000)).await,
        2 => {
            for broker in [broker, 1 - broker] {
                restart(world, broker, chance.millis(100, 1_500)).await;
                sleep(chance.millis(500, 2_500)).await;
            }
        }
        3..=4 => take_power(world, broker),
        5 => cold_start(world, broker).await,
        6..=8 => {
            let ways = [
                (End::Broker(broker), End::Broker(1 - broker)),
                (End::Broker(1 - broker), End::Broker(broker)),
            ];
            world.net.cut(&ways);
            sleep(chance.millis(500, 7_000)).await;
            world.net.mend(&ways);
        }
        _ => {
            if let Some(pair) = &world.pair {
                pair.managers.deafen(broker, Instant::now() + chance.millis(1_000, 5_000));
            }
        }
    }
}

/// Both hosts are without power; then one is back, alone for a while.
async fn cold_start(world: &Arc<World>, first: usize) {
    world.trace.add("both hosts lose their power");
    for host in [0, 1] {
        world.brokers[host].power_off();
        if let Some(pair) = &world.pair {
            pair.managers.reboot(host);
        }
    }
    for host in [first, 1 - first] {
        sleep(world.chance.millis(0, 4_000)).await;
        world.brokers[host].power_on();
        broker::start(world, host).await;
    }
}

/// Stops a broker in order, and starts it again after that time. Not to be left half done.
async fn restart(world: &Arc<World>, broker: usize, pause: Duration) {
    let world = world.clone();
    let restarted = tokio::spawn(async move {
        stop(&world, broker).await;
        sleep(pause).await;
        broker::start(&world, broker).await;
    });
    // It has panicked, and said so.
    let _ = restarted.await;
}

/// Stops a broker in order, if it runs.
async fn stop(world: &Arc<World>, broker: usize) {
    let (raft, life) = {
        let mut state = world.brokers[broker].state();
        let Some(raft) = state.raft.clone() else { return };
        state.pair.leave();
        (raft, state.life)
    };
    world.trace.add(&format!("b{broker} is stopped in order"));
    // It says why, if it did not end in order; nothing acknowledged is lost.
    let _ = raft.stop().await;
    let heir = greet::heir(world, broker, life, &raft).await;
    if !world.is_alive(broker, life) {
        return;
    }
    world.brokers[broker].crash();
    if let Some(heir) = heir {
        greet::retire(world, broker, Mark::here(&raft), heir).await;
    }
}

/// One order to one of them, or to the other where that one refuses or does not serve in time: the pair is to
/// converge of it.
pub async fn activate_one(world: Arc<World>) {
    let mut host = world.chance.below(2) as usize;
    loop {
        while !order(&world, host, super::Asked::Activate { peer_is_down: false }) {
            sleep(world.chance.millis(50, 200)).await;
        }
        let mut served = Instant::now();
        while served.elapsed() < ACTIVATE {
            sleep(world.chance.millis(100, 200)).await;
            let state = world.brokers[host].state();
            match state.pair.decided {
                _ if state.pair.refused => break,
                Some(Decision::Serve | Decision::Follow) => served = Instant::now(),
                _ => {}
            }
        }
        host = 1 - host;
    }
}
