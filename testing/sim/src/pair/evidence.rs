//! Whom the agents obey: told to brokers that ask, and remembered of what brokers told them.

use std::sync::Arc;
use std::time::Duration;

use abide_broker::Replica;
use abide_model::Fence;
use abide_pair::{Agents, Claim};
use abide_raft::Raft;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::agent::{self, Promise};
use crate::driver::SILENCE;
use crate::net::End;
use crate::world::World;

/// Asks every agent that is heard here whom it obeys, within that time; gives how many have answered.
pub async fn ask(world: &Arc<World>, broker: usize, life: u64, within: Duration) -> usize {
    ask_for(world, broker, life, None, within).await.len()
}

/// Has every agent that is heard here promise to obey none lower than `claim`, unless it has obeyed a higher
/// one than `known`; gives how many have.
pub async fn have_promised(
    world: &Arc<World>,
    broker: usize,
    life: u64,
    claim: Claim,
    known: Fence,
    within: Duration,
) -> usize {
    let Claim { generation, claimant } = claim;
    let next = Fence { generation, claimant, ..Fence::default() };
    let told = ask_for(world, broker, life, Some(Promise { next, known }), within).await;
    told.iter().filter(|(fence, _)| of(fence) == claim).count()
}

async fn ask_for(
    world: &Arc<World>,
    broker: usize,
    life: u64,
    promise: Option<Promise>,
    within: Duration,
) -> Vec<(Fence, Claim)> {
    let mut asked = JoinSet::new();
    for agent in heard(world, broker) {
        let world = world.clone();
        asked.spawn(async move {
            (agent, timeout(within, obeys(&world, broker, agent, promise)).await)
        });
    }
    let mut all = Vec::new();
    for (agent, told) in asked.join_all().await {
        let mut state = world.brokers[broker].state();
        if let (Ok(Some(told)), true) = (told, state.life == life)
            && let Some(link) = state.links.get_mut(&agent)
        {
            link.obeys = link.obeys.max(Some(told));
            all.push(told);
        }
    }
    all
}

async fn obeys(
    world: &World,
    broker: usize,
    agent: usize,
    promise: Option<Promise>,
) -> Option<(Fence, Claim)> {
    world.carry(End::Broker(broker), End::Agent(agent)).await?;
    let told = agent::obeys(world, agent, promise).await?;
    world.carry(End::Agent(agent), End::Broker(broker)).await?;
    Some(told)
}

/// The agents that are heard here.
pub fn heard(world: &World, broker: usize) -> Vec<usize> {
    let state = world.brokers[broker].state();
    let links = state.links.iter();
    links.filter(|(_, it)| it.heard.elapsed() < SILENCE).map(|(agent, _)| *agent).collect()
}

/// What they have told by now, as the broker sums it up; but for what they promised to this broker itself.
pub fn agents(
    world: &World,
    broker: usize,
    raft: &Raft<Replica>,
    told: usize,
    own: Option<Claim>,
) -> Agents {
    let links = world.brokers[broker].state().links.clone();
    let words: Vec<_> = links
        .values()
        .filter(|link| link.heard.elapsed() < SILENCE)
        .map(|link| {
            let (fence, view) = link.obeys.unwrap_or_default();
            (link.greeting.fence.max(fence), link.greeting.view.max(view))
        })
        .collect();
    let claims = words.iter().flat_map(|(fence, view)| [of(fence), *view]);
    let claim = claims.filter(|claim| Some(*claim) != own).max().unwrap_or_default();
    let terms = words.iter().filter(|(fence, _)| of(fence) == claim).map(|(fence, _)| fence.term);
    let known = raft.latest().0.agents().count();
    Agents { known, told, claim, term: terms.max().unwrap_or(0) }
}

fn of(fence: &Fence) -> Claim {
    Claim { generation: fence.generation, claimant: fence.claimant }
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
