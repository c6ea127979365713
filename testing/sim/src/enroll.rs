//! A small model of a broker that asks the others to take part, until it votes. Its admission is the
//! broker's own code.

use std::sync::Arc;
use std::time::Duration;

use abide_broker::{Replica, admit, is_settled};
use abide_raft::{Claim, NodeId, Raft};
use tokio::time::Instant;

use crate::broker::peer;
use crate::invariants::claims;
use crate::net::End;
use crate::world::World;

const AGAIN: Duration = Duration::from_millis(250);
/// One that has not asked for so long is gone.
const GONE: Duration = Duration::from_secs(10);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Runs until this life of the broker ends.
pub async fn run(world: Arc<World>, broker: usize, life: u64, raft: Raft<Replica>) {
    while world.is_alive(broker, life) {
        if !is_settled(&raft, raft.node(), &peer(broker)) {
            for other in (0..world.brokers.len()).filter(|other| *other != broker) {
                if world.carry(End::Broker(broker), End::Broker(other)).await.is_some() {
                    let claim = take_in(&world, other, broker, &raft);
                    take_on(&world, other, broker, &raft, claim).await;
                }
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// One that is new takes on the claim of the group that it is to be taken into.
async fn take_on(
    world: &World,
    leader: usize,
    broker: usize,
    newcomer: &Raft<Replica>,
    claim: Option<Claim>,
) {
    let Some(claim) = claim.filter(|claim| newcomer.is_pristine() && *claim > newcomer.claim())
    else {
        return;
    };
    if world.carry(End::Broker(leader), End::Broker(broker)).await.is_some() {
        // Refused if something was written meanwhile.
        let _ = newcomer.adopt_claim(claim).await;
        claims::of(world, broker, newcomer);
    }
}

/// Takes a broker in, in the background, if `leader` leads, the newcomer is new or stands on its claim, and no
/// other change is under way there. Gives the leader's claim.
fn take_in(
    world: &Arc<World>,
    leader: usize,
    broker: usize,
    newcomer: &Raft<Replica>,
) -> Option<Claim> {
    let mut state = world.brokers[leader].state();
    let serves = |raft: &Raft<Replica>| raft.leadership().borrow().is_serving();
    let raft = state.raft.clone().filter(serves)?;
    // What nobody can be told of yet, nobody takes part in.
    if state.rebuilds {
        return None;
    }
    let (node, claim, life) = (newcomer.node(), raft.claim(), state.life);
    let asked = Some((node, Instant::now()));
    if !newcomer.is_pristine() && claim != newcomer.claim() {
        return Some(claim);
    }
    if std::mem::replace(&mut state.admits, true) {
        if state.newcomer.is_some_and(|(known, _)| known == node) {
            state.newcomer = asked;
        }
        return Some(claim);
    }
    state.newcomer = asked;
    drop(state);
    let world = world.clone();
    tokio::spawn(async move {
        let gone = gone(&world, leader, life);
        let admitted = admit(&raft, node, peer(broker), gone).await;
        world.trace.add(&format!("b{leader} takes b{broker} in: {admitted:?}"));
        let mut state = world.brokers[leader].state();
        if state.life == life {
            state.admits = false;
        }
    });
    Some(claim)
}

/// Returns when whoever is taken in does not ask any more.
async fn gone(world: &World, leader: usize, life: u64) {
    loop {
        let asked = {
            let state = world.brokers[leader].state();
            state.newcomer.filter(|_| state.life == life)
        };
        if asked.is_none_or(|(_, asked): (NodeId, Instant)| asked.elapsed() > GONE) {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}
