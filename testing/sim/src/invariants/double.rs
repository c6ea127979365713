//! Never two sessions from one reservation, or from one idempotency key.

use std::collections::{BTreeMap, BTreeSet};

use abide_model::SessionId;

use crate::names::short;
use crate::world::World;

const NAME: &str = "never two sessions from one reservation";

/// A keeper is started.
pub fn launched(world: &World, agent: usize, session: SessionId) {
    world.trace.add(&format!("a{agent} starts the keeper of {}", short(session)));
    if let Some(before) = world.history().launched.insert(session, agent) {
        let detail = format!("{} was started on a{before} and on a{agent}", short(session));
        world.fail(NAME, &detail);
    }
}

/// In the end a key has one desktop. Apart from one that was superseded while somebody looked at it; and from
/// one that a lost table had superseded: nobody remembers, so both are listed and none is ended.
pub fn check(world: &World) {
    let mut living = BTreeMap::new();
    let forgotten = {
        let history = world.history();
        if history.losses == 0 { BTreeSet::new() } else { history.superseded.clone() }
    };
    for host in &world.hosts {
        let state = host.state();
        let living_there = state.keepers.iter().filter(|(_, keeper)| keeper.ended.is_none());
        for (session, _) in living_there.filter(|(session, _)| !forgotten.contains(session)) {
            let Some(row) = state.rows.get(session).filter(|row| !row.ever_attached) else {
                continue;
            };
            let order = row.order.as_ref().and_then(|it| world.ring.verify_order(&it.text).ok());
            let Some(order) = order else { continue };
            let key = (order.user, order.idempotency_key);
            if let Some(other) = living.insert(key.clone(), *session) {
                let (one, two) = (short(*session), short(other));
                world.fail(NAME, &format!("{} {} has {one} and {two}", key.0, key.1));
            }
        }
    }
}
