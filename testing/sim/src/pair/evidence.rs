//! Whom the agents obey: told to brokers that ask, and remembered of what brokers told them.

use std::sync::Arc;
use std::time::Duration;

use abide_broker::Replica;
use abide_model::Fence;
use abide_pair::{Agents, Claim};
use abide_raft::Raft;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::driver::SILENCE;
use crate::net::End;
use crate::world::World;

/// Asks every agent that is heard here, within that time.
pub async fn ask(world: &Arc<World>, broker: usize, life: u64, within: Duration) {
    let mut asked = JoinSet::new();
    for agent in 0..world.hosts.len() {
        if world.brokers[broker].state().links.contains_key(&agent) {
            let world = world.clone();
            asked
                .spawn(async move { (agent, timeout(within, obeys(&world, broker, agent)).await) });
        }
    }
    for (agent, told) in asked.join_all().await {
        let mut state = world.brokers[broker].state();
        if let (Ok(Some(told)), true) = (told, state.life == life)
            && let Some(link) = state.links.get_mut(&agent)
        {
            link.obeys = link.obeys.max(Some(told));
        }
    }
}

async fn obeys(world: &World, broker: usize, agent: usize) -> Option<(Fence, Claim)> {
    world.carry(End::Broker(broker), End::Agent(agent)).await?;
    let told = {
        let host = &world.hosts[agent];
        let state = host.state();
        (state.fence, state.view)
    };
    let is_up = world.hosts[agent].is_up();
    world.carry(End::Agent(agent), End::Broker(broker)).await.filter(|()| is_up)?;
    Some(told)
}

/// What they have told by now, as the broker sums it up.
pub fn agents(world: &World, broker: usize, raft: &Raft<Replica>) -> Agents {
    let links = world.brokers[broker].state().links.clone();
    let told: Vec<_> = links
        .values()
        .filter(|link| link.heard.elapsed() < SILENCE)
        .map(|link| {
            let (fence, view) = link.obeys.unwrap_or_default();
            (link.greeting.fence.max(fence), link.greeting.view.max(view))
        })
        .collect();
    let of = |fence: &Fence| Claim { generation: fence.generation, claimant: fence.claimant };
    let claim = told.iter().map(|(fence, view)| of(fence).max(*view)).max().unwrap_or_default();
    let terms = told.iter().filter(|(fence, _)| of(fence) == claim).map(|(fence, _)| fence.term);
    let known = raft.latest().0.agents().count();
    Agents { known, told: told.len(), claim, term: terms.max().unwrap_or(0) }
}

/// A leader tells agents on what claim it stands; they keep the highest.
pub fn tell_views(world: &Arc<World>, broker: usize, claim: Claim) {
    let links = world.brokers[broker].state().links.clone();
    for (agent, link) in links {
        if link.greeting.view < claim {
            let world = world.clone();
            tokio::spawn(async move {
                let came = world.carry(End::Broker(broker), End::Agent(agent)).await;
                let host = &world.hosts[agent];
                if came.is_some() && host.is_up() {
                    let mut state = host.state();
                    state.view = state.view.max(claim);
                }
            });
        }
    }
}
