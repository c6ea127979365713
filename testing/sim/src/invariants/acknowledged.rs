//! No acknowledged session is lost, and no acknowledged end: whoever reads after the answer sees it.
//!
//! Between two of a pair that both had gone on, each knows what was acknowledged on its own line of claims
//! ([`claims`](super::claims)). In the end every session is known that lives; of one that is over, the record may be
//! in the data aside alone.

use abide_model::{IdempotencyKey, Session, SessionId, State, UserName};
use abide_pair::Claim;

use crate::broker::Broker;
use crate::names::short;
use crate::pair;
use crate::user::{any_broker, at_broker};
use crate::world::World;

const NAME: &str = "no acknowledged session is lost";

/// A start was answered. If its key made the session, every answer to it names that one.
pub fn started(world: &World, claim: Claim, user: &UserName, key: &IdempotencyKey, row: &Session) {
    let session = row.id;
    world.history().acknowledged.entry(session).or_default().insert(claim);
    if row.key != *key {
        return;
    }

    let made = world.history().made.get(&(user.clone(), key.clone())).cloned().unwrap_or_default();
    let counts = |before| !world.history().unsure.contains(&before) || lives(world, before);
    let of_this_line =
        made.into_iter().filter(|(it, _)| world.history().are_of_one_line(*it, claim));
    let mut others = of_this_line.map(|(_, before)| before).filter(|before| *before != session);
    if let Some(before) = others.find(|before| counts(*before)) {
        let (before, session) = (short(before), short(session));
        let name = "never two sessions from one reservation";
        world.fail(name, &format!("{user} {key}: {before}, then {session}"));
    }
    world.history().made.entry((user.clone(), key.clone())).or_default().insert(claim, session);
}

/// Reads what became of a session, at any broker that answers.
pub async fn look(world: &World, session: SessionId) {
    let lived = lives(world, session);
    let ended = world.history().ended.get(&session).cloned().unwrap_or_default();
    let told = world.history().acknowledged.get(&session).cloned().unwrap_or_default();
    let broker = any_broker(world);
    let read = at_broker(world, broker, |raft| async move {
        let table = raft.read().await.ok()?;
        (!table.0.is_rebuilding()).then_some(table)
    });
    let Some((claim, Some(table))) = read.await else { return };
    let must_know = |on| world.history().must_know(claim, on);
    let state = table.0.session(table.0.successor(session)).map(|row| row.state.clone());
    let what = short(session);
    // It lived all the time, and nobody asked for its end.
    let lives = lived && lives(world, session) && !world.history().asked.contains(&session);
    if lives && must_know(&told) && !state.as_ref().is_some_and(State::is_resumable) {
        world.fail(NAME, &format!("{what} lives, and b{broker} reads {state:?}"));
    }
    if must_know(&ended) && state.as_ref().is_some_and(State::is_resumable) {
        world.fail(NAME, &format!("{what} was ended, and b{broker} reads {state:?}"));
    }
}

/// In the end, everything that was acknowledged since the last loss of every copy is in the table.
pub fn check(world: &World) {
    let acknowledged = world.history().acknowledged.clone();
    for (session, on) in acknowledged {
        for broker in 0..world.brokers.len() {
            let Some(raft) = world.raft(broker) else { continue };
            let is_split = !world.history().must_know(pair::claim(&raft), &on);
            if raft.latest().0.session(session).is_none() && !(is_split && is_aside(world, session))
            {
                let detail = format!("{} is not at b{broker}", short(session));
                world.fail(NAME, &detail);
            }
        }
    }
}

/// Whether a session that is over is in what somebody set aside.
fn is_aside(world: &World, session: SessionId) -> bool {
    let is_in = |broker: &Broker| {
        let state = broker.state();
        state.pair.aside.iter().any(|table| table.session(session).is_some())
    };
    !lives(world, session) && world.brokers.iter().any(is_in)
}

fn lives(world: &World, session: SessionId) -> bool {
    world.hosts.iter().any(|host| host.lives(session))
}
