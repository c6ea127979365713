//! What goes wrong.
//!
//! | what | of |
//! |---|---|
//! | a crash that loses what is not synced; of a lone voter too, which leaves a gap | a broker, all of them |
//! | an emptied folder: it rejoins under a new node id | one of three |
//! | every folder emptied: the table is made anew | all |
//! | a cut, whole or one way; from brokers and agents or from brokers only | a broker, an agent |
//! | a stall: cut off from the brokers, it goes on with an old fence | the leader |
//! | loss, delay, reorder, repeats of messages | all |
//! | a clock that is off by seconds, or hours ahead | a broker |
//! | slow syncs | a broker |
//! | a daemon's death, a reboot | an agent |

use std::sync::Arc;

use tokio::time::Instant;

use crate::agent;
use crate::broker::{self, Empty};
use crate::net::End;
use crate::pair;
use crate::world::World;

/// How far ahead a clock may jump, milliseconds. Less than a day, after which a table forgets what ended.
const JUMP: u64 = 12 * 3_600_000;

/// Breaks and mends until it is dropped.
pub async fn run(world: Arc<World>) {
    tokio::time::sleep(world.chance.millis(500, 3_000)).await;
    loop {
        one(&world).await;
        tokio::time::sleep(world.chance.millis(50, 1_500)).await;
    }
}

/// Everything is up and connected, and every clock right; but for one agent in some runs, whose number this
/// gives.
pub async fn heal(world: &Arc<World>) -> Option<usize> {
    world.net.heal();
    world.slow_disks(0);
    for (number, broker) in world.brokers.iter().enumerate() {
        {
            let mut state = broker.state();
            (state.skew, state.stalled) = (0, None);
        }
        broker.power_on();
        broker::start(world, number).await;
    }
    // A table that is made anew waits for all of them.
    let may_be_away = world.history().losses == 0 && world.chance.per_mille(250);
    let away = may_be_away.then(|| any_agent(world));
    for agent in 0..world.hosts.len() {
        if away == Some(agent) {
            world.hosts[agent].crash();
        } else {
            agent::start(world, agent);
        }
    }
    away
}

async fn one(world: &Arc<World>) {
    let chance = &world.chance;
    let broker = chance.below(world.brokers.len() as u64) as usize;
    let agent = any_agent(world);
    let kinds = if world.pair.is_some() { 19 + pair::faults::KINDS } else { 19 };
    let what = chance.below(kinds);
    world.trace.add(&format!("fault {what} at b{broker} or a{agent}"));
    match what {
        0..=1 => crash(world, broker, 0, 3_000).await,
        2 => crash(world, broker, 0, 200).await,
        3 => {
            // The whole group at once: only what is on the disks is left.
            world.brokers.iter().for_each(broker::Broker::crash);
            start_all(world, 500).await;
        }
        4 => {
            let slow = chance.per_mille(500);
            world.net.trouble(chance.below(300) as u32, slow);
            tokio::time::sleep(chance.millis(500, 3_000)).await;
            world.net.trouble(0, false);
        }
        5..=6 => cut(world, &ways(world, End::Broker(broker)), 4_000).await,
        7 => cut(world, &ways(world, End::Agent(agent)), 7_000).await,
        8 => {
            let skew = chance.below(20_000).cast_signed() - 10_000;
            world.brokers[broker].state().skew = skew;
        }
        9 => {
            let ahead = chance.below(JUMP).cast_signed();
            world.brokers[broker].state().skew = ahead;
            tokio::time::sleep(chance.millis(200, 4_000)).await;
            world.brokers[broker].state().skew = 0;
        }
        10 => {
            world.slow_disks(1 << broker);
            tokio::time::sleep(chance.millis(200, 2_000)).await;
            world.slow_disks(0);
        }
        11..=12 => {
            world.hosts[agent].crash();
            tokio::time::sleep(chance.millis(100, 4_000)).await;
            agent::start(world, agent);
        }
        13 => {
            world.hosts[agent].reboot();
            tokio::time::sleep(chance.millis(500, 4_000)).await;
            agent::start(world, agent);
        }
        14..=15 if is_whole(world) => empty(world, broker).await,
        19.. => pair::faults::one(world, broker, what - 19).await,
        14..=16 if world.pair.is_none() && chance.per_mille(350) => {
            lose_everything(world, broker).await
        }
        _ => stall(world, agent).await,
    }
}

async fn crash(world: &Arc<World>, broker: usize, least: u64, most: u64) {
    world.brokers[broker].crash();
    tokio::time::sleep(world.chance.millis(least, most)).await;
    broker::start(world, broker).await;
}

async fn start_all(world: &Arc<World>, most: u64) {
    tokio::time::sleep(world.chance.millis(0, most)).await;
    for number in 0..world.brokers.len() {
        broker::start(world, number).await;
    }
}

/// One broker's folder is emptied. While it is not taken in again, no other's may be: two of three copies
/// would be lost.
async fn empty(world: &Arc<World>, broker: usize) {
    world.trace.add(&format!("the folder of b{broker} is emptied"));
    world.brokers[broker].wipe(world.chance.number(), Empty::Joins);
    tokio::time::sleep(world.chance.millis(0, 3_000)).await;
    broker::start(world, broker).await;
}

/// Whether all brokers vote, of several, and all know it; and none of them is about to leave its data to another.
fn is_whole(world: &World) -> bool {
    let nodes: Vec<_> = world.brokers.iter().map(|broker| broker.state().node).collect();
    let knows = |number: usize| {
        let voters = world.raft(number).map(|raft| raft.status().members.voters);
        voters.is_some_and(|sets| sets == [nodes.iter().copied().collect()])
    };
    let stays = |broker: &broker::Broker| !broker.state().pair.leaves();
    nodes.len() > 1 && (0..nodes.len()).all(knows) && world.brokers.iter().all(stays)
}

async fn lose_everything(world: &Arc<World>, founder: usize) {
    world.trace.add("every broker's disk is lost");
    world.lose_everything(founder);
    start_all(world, 2_000).await;
}

/// The leader is cut off from the other brokers and stands still; when it goes on, agents have obeyed
/// another, and one of them has been restarted.
async fn stall(world: &Arc<World>, agent: usize) {
    let chance = &world.chance;
    let leads = |number: &usize| {
        world.raft(*number).is_some_and(|raft| raft.leadership().borrow().is_serving())
    };
    let Some(leader) = (0..world.brokers.len()).find(leads) else { return };
    let others = (0..world.brokers.len()).filter(|other| *other != leader).map(End::Broker);
    let ways: Vec<_> = others
        .flat_map(|other| [(End::Broker(leader), other), (other, End::Broker(leader))])
        .collect();
    world.trace.add(&format!("b{leader} stands still"));
    world.net.cut(&ways);
    if chance.per_mille(500) {
        let until = Instant::now() + chance.millis(500, 6_000);
        world.brokers[leader].state().stalled = Some(until);
    }
    tokio::time::sleep(chance.millis(500, 4_000)).await;
    world.hosts[agent].crash();
    tokio::time::sleep(chance.millis(0, 500)).await;
    agent::start(world, agent);
    tokio::time::sleep(chance.millis(500, 3_000)).await;
    world.net.mend(&ways);
}

async fn cut(world: &World, ways: &[(End, End)], most: u64) {
    world.net.cut(ways);
    tokio::time::sleep(world.chance.millis(200, most)).await;
    world.net.mend(ways);
}

/// The ways that cut somebody off: all, or one way only; a broker from the others or from agents too.
fn ways(world: &World, one: End) -> Vec<(End, End)> {
    let which = world.chance.below(3);
    let half = world.chance.per_mille(500);
    let brokers = (0..world.brokers.len()).map(End::Broker);
    let agents = (0..world.hosts.len()).map(End::Agent);
    let mut ways = Vec::new();
    for other in brokers.chain(agents).filter(|other| *other != one) {
        if half && matches!(other, End::Agent(_)) && matches!(one, End::Broker(_)) {
            continue;
        }
        if which != 0 {
            ways.push((one, other));
        }
        if which != 1 {
            ways.push((other, one));
        }
    }
    ways
}

fn any_agent(world: &World) -> usize {
    world.chance.below(world.hosts.len() as u64) as usize
}
