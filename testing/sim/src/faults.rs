//! What goes wrong.

use std::sync::Arc;

use abide_raft::Formation;

use crate::agent;
use crate::broker;
use crate::net::End;
use crate::world::World;

/// Breaks and mends until it is dropped.
pub async fn run(world: Arc<World>) {
    tokio::time::sleep(world.chance.millis(500, 3_000)).await;
    loop {
        one(&world).await;
        tokio::time::sleep(world.chance.millis(50, 1_500)).await;
    }
}

/// Everything is up and connected, and every clock right.
pub async fn heal(world: &Arc<World>) {
    world.net.heal();
    world.slow_disks(0);
    for number in 0..world.brokers.len() {
        let is_down = {
            let mut state = world.brokers[number].state();
            state.skew = 0;
            state.raft.is_none()
        };
        if is_down {
            broker::start(world, number, formation(world)).await;
        }
    }
    for agent in 0..world.hosts.len() {
        if !world.hosts[agent].is_up() {
            agent::start(world, agent);
        }
    }
}

async fn one(world: &Arc<World>) {
    let chance = &world.chance;
    let broker = chance.below(world.brokers.len() as u64) as usize;
    let agent = chance.below(world.hosts.len() as u64) as usize;
    let what = chance.below(13);
    world.trace.add(&format!("fault {what} at b{broker} or a{agent}"));
    match what {
        0..=2 => crash(world, broker, 0, 3_000).await,
        3 => {
            // The whole group at once: only what is on the disks is left.
            for number in 0..world.brokers.len() {
                world.brokers[number].crash();
            }
            tokio::time::sleep(chance.millis(0, 500)).await;
            for number in 0..world.brokers.len() {
                if world.raft(number).is_none() {
                    broker::start(world, number, formation(world)).await;
                }
            }
        }
        4 => {
            let slow = chance.per_mille(500);
            world.net.trouble(chance.below(300) as u32, slow);
            tokio::time::sleep(chance.millis(500, 3_000)).await;
            world.net.trouble(0, false);
        }
        5..=6 => {
            cut(world, End::Broker(broker));
            tokio::time::sleep(chance.millis(200, 4_000)).await;
            world.net.heal();
        }
        7 => {
            cut(world, End::Agent(agent));
            tokio::time::sleep(chance.millis(200, 7_000)).await;
            world.net.heal();
        }
        8 => {
            let skew = chance.below(20_000).cast_signed() - 10_000;
            world.brokers[broker].state().skew = skew;
        }
        9 => {
            world.slow_disks(1 << broker);
            tokio::time::sleep(chance.millis(200, 2_000)).await;
            world.slow_disks(0);
        }
        10 => {
            world.hosts[agent].crash();
            tokio::time::sleep(chance.millis(100, 4_000)).await;
            agent::start(world, agent);
        }
        11 => {
            world.hosts[agent].reboot();
            tokio::time::sleep(chance.millis(500, 4_000)).await;
            agent::start(world, agent);
        }
        // The takeover of a lone voter that has lost everything.
        _ if world.brokers.len() == 1 => {
            world.trace.add("the only disk is lost");
            world.brokers[broker].wipe(chance.number());
            // What no ledger has any more is lost with it.
            let lives = |session| world.hosts.iter().any(|host| host.lives(session));
            world.history().made.retain(|_, session| lives(*session));
            tokio::time::sleep(chance.millis(0, 2_000)).await;
            broker::start(world, broker, formation(world)).await;
        }
        _ => crash(world, broker, 0, 200).await,
    }
}

async fn crash(world: &Arc<World>, broker: usize, least: u64, most: u64) {
    world.brokers[broker].crash();
    tokio::time::sleep(world.chance.millis(least, most)).await;
    broker::start(world, broker, formation(world)).await;
}

/// Cuts somebody off, or only one way.
fn cut(world: &World, one: End) {
    let way = world.chance.below(3);
    let brokers = (0..world.brokers.len()).map(End::Broker);
    let agents = (0..world.hosts.len()).map(End::Agent);
    let half = world.chance.per_mille(500);
    for other in brokers.chain(agents).filter(|other| *other != one) {
        if half && matches!(other, End::Agent(_)) && matches!(one, End::Broker(_)) {
            continue;
        }
        if way != 0 {
            world.net.cut(one, other);
        }
        if way != 1 {
            world.net.cut(other, one);
        }
    }
}

fn formation(world: &World) -> Formation {
    if world.brokers.len() == 1 { broker::alone() } else { Formation::Join }
}
