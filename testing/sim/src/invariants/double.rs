//! Never two sessions from one reservation, or from one idempotency key.

use std::collections::{BTreeMap, BTreeSet};

use abide_model::SessionId;
use abide_pair::Claim;

use crate::names::short;
use crate::world::World;

const NAME: &str = "never two sessions from one reservation";

/// A keeper is started.
pub fn launched(world: &World, agent: usize, session: SessionId, on: Claim) {
    world.trace.add(&format!("a{agent} starts the keeper of {}", short(session)));
    if let Some(before) = world.history().launched.insert(session, agent) {
        let detail = format!("{} was started on a{before} and on a{agent}", short(session));
        world.fail(NAME, &detail);
    }
    world.history().started_on.insert(session, on);
}

/// In the end a key has one desktop. Apart from one that was superseded while somebody looked at it; and from
/// one that a lost table had superseded: nobody remembers, so both are listed and none is ended. Two brokers that
/// had both gone on, neither from the other, may have started one each: both are shown.
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
            let others: &mut Vec<SessionId> = living.entry(key.clone()).or_default();
            let one_line = |other: &&SessionId| is_of_one_line(world, **other, *session);
            if let Some(other) = others.iter().find(one_line).copied() {
                let (one, two) = (short(*session), short(other));
                world.fail(NAME, &format!("{} {} has {one} and {two}", key.0, key.1));
            }
            others.push(*session);
        }
    }
}

fn is_of_one_line(world: &World, one: SessionId, other: SessionId) -> bool {
    let history = world.history();
    let on = |session| history.started_on.get(&session).copied().unwrap_or_default();
    history.are_of_one_line(on(one), on(other))
}
