//! What must never happen, and what must happen in the end: one file each.

pub mod acknowledged;
pub mod claims;
pub mod double;
pub mod fence;
pub mod known;
pub mod liveness;
pub mod unasked_end;
pub mod unhealed;

use crate::world::World;

/// Judges the converged end of a run.
pub fn check_end(world: &World) {
    double::check(world);
    unasked_end::check(world);
    known::check(world);
    acknowledged::check(world);
    if world.pair.is_some() {
        claims::check(world);
        unhealed::check(world);
    }
}
