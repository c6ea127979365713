//! No acknowledged session is lost, and no acknowledged end: whoever reads after the answer sees it.

use abide_model::{IdempotencyKey, Session, SessionId, State, UserName};

use crate::names::short;
use crate::user::{any_broker, at_broker};
use crate::world::World;

const NAME: &str = "no acknowledged session is lost";

/// A start was answered. If its key made the session, every answer to it names that one.
pub fn started(world: &World, user: &UserName, key: &IdempotencyKey, row: &Session) {
    let session = row.id;
    world.history().acknowledged.insert(session);
    if row.key != *key {
        return;
    }

    let before = world.history().made.insert((user.clone(), key.clone()), session);
    let counts = |before| !world.history().unsure.contains(&before) || lives(world, before);
    if let Some(before) = before.filter(|before| *before != session && counts(*before)) {
        let (before, session) = (short(before), short(session));
        let name = "never two sessions from one reservation";
        world.fail(name, &format!("{user} {key}: {before}, then {session}"));
    }
}

/// Reads what became of a session, at any broker that answers.
pub async fn look(world: &World, session: SessionId) {
    let lived = lives(world, session);
    let was_ended = world.history().ended.contains(&session);
    let broker = any_broker(world);
    let read = at_broker(world, broker, |raft| async move {
        let table = raft.read().await.ok()?;
        (!table.0.is_rebuilding()).then_some(table)
    });
    let Some(Some(table)) = read.await else { return };
    let state = table.0.session(table.0.successor(session)).map(|row| row.state.clone());
    let what = short(session);
    // It lived all the time, and nobody asked for its end.
    let lives = lived && lives(world, session) && !world.history().asked.contains(&session);
    if lives && !state.as_ref().is_some_and(State::is_resumable) {
        world.fail(NAME, &format!("{what} lives, and b{broker} reads {state:?}"));
    }
    if was_ended && state.as_ref().is_some_and(State::is_resumable) {
        world.fail(NAME, &format!("{what} was ended, and b{broker} reads {state:?}"));
    }
}

/// In the end, everything that was acknowledged since the last loss of every copy is in the table.
pub fn check(world: &World) {
    let acknowledged = world.history().acknowledged.clone();
    for session in acknowledged {
        for broker in 0..world.brokers.len() {
            let Some(raft) = world.raft(broker) else { continue };
            if raft.latest().0.session(session).is_none() {
                let detail = format!("{} is not at b{broker}", short(session));
                world.fail(NAME, &detail);
            }
        }
    }
}

fn lives(world: &World, session: SessionId) -> bool {
    world.hosts.iter().any(|host| host.lives(session))
}
