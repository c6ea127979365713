//! What a split leaves behind and does not heal is listed for a person: an end that the lower claim acknowledged, and
//! a row of which no host knows.

use std::collections::BTreeSet;

use abide_model::{SessionId, State, Table, Unhealed};

use crate::names::short;
use crate::world::World;

const NAME: &str = "what does not heal is listed";

/// Of the converged end.
pub fn check(world: &World) {
    let Some(raft) = (0..world.brokers.len()).find_map(|broker| world.raft(broker)) else { return };
    let table = &raft.latest().0;
    let listed = listed(world, table);
    let ended = world.history().ended.clone();
    for session in ended.into_keys().filter(|session| !listed.contains(session)) {
        let row = table.session(table.successor(session));
        if row.is_some_and(|row| row.state.is_resumable()) {
            let detail = format!("{} was ended, is {row:?}, and not listed", short(session));
            world.fail(NAME, &detail);
        }
    }
    for row in table.sessions().filter(|row| row.state == State::Running) {
        let Some(agent) = world.agent_of(&row.agent) else { continue };
        let host = &world.hosts[agent];
        let is_known = !host.is_up() || host.state().rows.contains_key(&row.id);
        if !is_known && !listed.contains(&row.id) {
            world.fail(NAME, &format!("{row:?} is in no ledger, and not listed"));
        }
    }
}

/// The sessions that `abide ha aside` names.
fn listed(world: &World, table: &Table) -> BTreeSet<SessionId> {
    let mut listed = BTreeSet::new();
    for broker in &world.brokers {
        let aside = broker.state().pair.aside.clone();
        for item in aside.iter().flat_map(|lower| table.unhealed(lower)) {
            match item {
                Unhealed::Ended { session, .. }
                | Unhealed::Over { session, .. }
                | Unhealed::Abandoned { session, .. }
                | Unhealed::Unreported { session, .. } => drop(listed.insert(session)),
                _ => {}
            }
        }
    }
    listed
}
