//! Every running keeper is known in the end: by every broker, at its host, as running.

use abide_model::State;

use crate::names::{self, short};
use crate::world::World;

/// Of the converged end.
pub fn check(world: &World) {
    // One that is away in a run that fails early has told nobody.
    for (agent, host) in world.hosts.iter().enumerate().filter(|(_, host)| host.is_up()) {
        let living: Vec<_> = host.state().keepers.keys().copied().collect();
        for session in living.into_iter().filter(|session| host.lives(*session)) {
            for broker in 0..world.brokers.len() {
                let Some(raft) = world.raft(broker) else { continue };
                let table = raft.latest();
                let known = table.0.session(session).is_some_and(|row| {
                    row.agent == names::agent(agent) && row.state == State::Running
                });
                if !known {
                    let row = table.0.session(session);
                    let detail = format!("{} on a{agent}, b{broker}: {row:?}", short(session));
                    world.fail("every running keeper is known in the end", &detail);
                }
            }
        }
    }
}
