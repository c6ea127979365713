//! A small model of a broker that asks the others to take part, until it votes. Its admission is the
//! broker's own code.

use std::sync::Arc;
use std::time::Duration;

use abide_broker::{Replica, admit, is_settled};
use abide_raft::Raft;

use crate::broker::peer;
use crate::net::End;
use crate::world::World;

const AGAIN: Duration = Duration::from_millis(250);

/// Runs until this life of the broker ends.
pub async fn run(world: Arc<World>, broker: usize, life: u64, raft: Raft<Replica>) {
    while world.is_alive(broker, life) {
        if !is_settled(&raft, raft.node(), &peer(broker)) {
            for other in (0..world.brokers.len()).filter(|other| *other != broker) {
                if world.carry(End::Broker(broker), End::Broker(other)).await.is_some() {
                    take_in(&world, other, broker, &raft);
                }
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Takes a broker in, in the background, if `leader` leads and no other change is under way there.
fn take_in(world: &Arc<World>, leader: usize, broker: usize, newcomer: &Raft<Replica>) {
    let (raft, life) = {
        let mut state = world.brokers[leader].state();
        let serves = |raft: &Raft<Replica>| raft.leadership().borrow().is_serving();
        let Some(raft) = state.raft.clone().filter(serves) else { return };
        // What nobody can be told of yet, nobody takes part in.
        if state.rebuilds || std::mem::replace(&mut state.admits, true) {
            return;
        }
        (raft, state.life)
    };
    let (world, node) = (world.clone(), newcomer.node());
    tokio::spawn(async move {
        // Who is gone there asks again under another node id.
        let admitted = admit(&raft, node, peer(broker), std::future::pending()).await;
        world.trace.add(&format!("b{leader} takes b{broker} in: {admitted:?}"));
        let mut state = world.brokers[leader].state();
        if state.life == life {
            state.admits = false;
        }
    });
}
