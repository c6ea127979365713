//! No agent obeys a lower fence than one that it has obeyed before, restarts included.

use abide_model::Fence;

use crate::world::World;

/// An agent has obeyed a command.
pub fn obeyed(world: &World, agent: usize, fence: Fence) {
    let highest = world.history().obeyed.get(&agent).copied().unwrap_or_default();
    if fence < highest {
        let detail = format!("a{agent} obeyed {fence} after {highest}");
        world.fail("no agent obeys a lower fence", &detail);
    }
    world.history().obeyed.insert(agent, fence);
}
