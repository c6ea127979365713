//! Nothing ends that nobody ended; a superseded session that nobody ever saw or was told of apart.

use abide_model::{EndReason, SessionId, State};

use crate::names::short;
use crate::world::World;

const NAME: &str = "nothing ends that nobody ended";

/// A keeper is about to end.
pub fn keeper_ends(world: &World, agent: usize, session: SessionId, reason: &EndReason) {
    let EndReason::Asked { by } = reason else { return };
    let seen = world.hosts[agent].state().rows.get(&session).is_some_and(|row| row.ever_attached);
    let superseded = world.history().superseded.contains(&session);
    let told = world.history().acknowledged.contains_key(&session);
    let asked = world.history().asked.contains(&session);
    let may_end = asked || superseded && !seen && !told;
    if !may_end {
        let what = short(session);
        let detail = format!("a{agent} ended {what} for {by}; attached: {seen}, told: {told}");
        world.fail(NAME, &detail);
    }
}

/// The table calls nothing ended that lives.
pub fn check(world: &World) {
    for host in &world.hosts {
        let living: Vec<_> = host.state().keepers.keys().copied().collect();
        for session in living.into_iter().filter(|session| host.lives(*session)) {
            for broker in 0..world.brokers.len() {
                let Some(raft) = world.raft(broker) else { continue };
                let table = raft.latest();
                let row = table.0.session(session);
                if row.is_some_and(|row| matches!(row.state, State::Ended { .. })) {
                    world.fail(NAME, &format!("{} lives, and b{broker} says no", short(session)));
                }
            }
        }
    }
}
