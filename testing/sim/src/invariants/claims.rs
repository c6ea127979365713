//! A takeover begins a higher claim; in the end the highest rules; under `fenced` no two go on side by side.
//!
//! A claim goes on from that which its claimant stood on before. What was acknowledged on a claim, everybody
//! knows who stands on it or on one that goes on from it: so far nothing may be lost. Two claims that both go on
//! from a third split the pair: neither knows what is acknowledged on the other.

use abide_broker::Replica;
use abide_pair::Claim;
use abide_raft::Raft;

use crate::pair;
use crate::world::World;

const HIGHER: &str = "a takeover begins a higher claim";

/// The claim that a broker stands on. The first who asks makes a new one known.
pub fn of(world: &World, broker: usize, raft: &Raft<Replica>) -> Claim {
    let claim = pair::claim(raft);
    let before = {
        let mut state = world.brokers[broker].state();
        std::mem::replace(&mut state.pair.stood_on, claim)
    };
    let is_new = claim != Claim::default() && !world.history().claims.contains_key(&claim);
    if is_new {
        begun(world, broker, before, claim);
    }
    claim
}

fn begun(world: &World, broker: usize, before: Claim, claim: Claim) {
    world.trace.add(&format!("b{broker} has gone on from {before:?}: {claim:?}"));
    if claim.generation <= before.generation {
        world.fail(HIGHER, &format!("b{broker} went on from {before:?}, and stands on {claim:?}"));
    }
    let highest = highest(world);
    let is_fenced = world.pair.as_ref().is_some_and(pair::Pair::is_fenced);
    if is_fenced && highest != before {
        let detail = format!("b{broker} went on from {before:?} beside {highest:?}: {claim:?}");
        world.fail("under fenced no two go on side by side", &detail);
    }
    world.history().claims.insert(claim, before);
}

fn highest(world: &World) -> Claim {
    world.history().claims.last_key_value().map(|(claim, _)| *claim).unwrap_or_default()
}

/// In the end the highest claim rules.
pub fn check(world: &World) {
    for broker in 0..world.brokers.len() {
        let Some(raft) = world.raft(broker) else { continue };
        let (claim, highest) = (pair::claim(&raft), highest(world));
        if claim != highest {
            let detail = format!("b{broker} stands on {claim:?}, and {highest:?} was begun");
            world.fail("the highest claim rules in the end", &detail);
        }
    }
}
