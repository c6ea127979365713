//! Greeting the other one: once a second, when there is doubt, before anything is served, and as the last
//! word of an ordered stop.

use std::sync::Arc;
use std::time::Duration;

use abide_broker::Replica;
use abide_pair::Claim;
use abide_raft::Raft;
use tokio::time::{Instant, timeout};

use super::{Greeting, Mark, Told, claim};
use crate::net::End;
use crate::world::World;

/// Between two greetings.
const EVERY: Duration = Duration::from_secs(1);
/// The same, while nobody leads.
const HURRY: Duration = Duration::from_millis(300);
/// For an answer.
const WITHIN: Duration = Duration::from_millis(300);

/// Runs until this life of the broker ends.
pub async fn run(world: Arc<World>, broker: usize, life: u64, raft: Raft<Replica>) {
    while world.is_alive(broker, life) {
        ask(&world, broker, life, &raft, WITHIN).await;
        let leads = raft.leadership().borrow().is_serving();
        let is_calm = leads || raft.status().leader_heard < raft.timing().lease;
        tokio::time::sleep(if is_calm { EVERY } else { HURRY }).await;
    }
}

/// Greets it once.
pub async fn ask(world: &World, broker: usize, life: u64, raft: &Raft<Replica>, within: Duration) {
    let (me, peer) = (End::Broker(broker), End::Broker(1 - broker));
    let mine = greeting(world, broker, raft);
    let answer = async {
        world.carry(me, peer).await?;
        let theirs = world.raft(1 - broker)?;
        hear(world, 1 - broker, mine, false);
        if world.brokers[1 - broker].state().pair.going_on {
            return None;
        }
        let theirs = greeting(world, 1 - broker, &theirs);
        world.carry(peer, me).await?;
        Some(theirs)
    };
    let answer = timeout(within, answer).await.ok().flatten();
    if world.brokers[broker].state().life != life {
        return;
    }
    match answer {
        Some(theirs) => hear(world, broker, theirs, true),
        None => world.brokers[broker].state().pair.told.missed = Some(Instant::now()),
    }
}

/// Asks the other one, before anything is served, whether its claim is the higher one; gives it if it is, and
/// there are data here that stand on another.
pub async fn meet(world: &World, broker: usize, life: u64, raft: &Raft<Replica>) -> Option<Claim> {
    ask(world, broker, life, raft, WITHIN).await;
    let theirs = world.brokers[broker].state().pair.told.greeting?.mark.claim;
    (theirs > claim(raft) && !raft.is_pristine()).then_some(theirs)
}

/// Whom an ordered stop may leave to go on alone, or who did already, asked once the engine has ended; nobody if
/// it does not know that it votes, or does not answer.
pub(super) async fn heir(
    world: &World,
    broker: usize,
    life: u64,
    raft: &Raft<Replica>,
) -> Option<Mark> {
    ask(world, broker, life, raft, WITHIN).await;
    let told = world.brokers[broker].state().pair.told;
    let peer = told.greeting?.mark;
    let voters = raft.status().members.voters;
    let can_go_on = matches!(&voters[..], [set] if set.contains(&peer.node.into()));
    let has_gone_on = peer.claim > claim(raft);
    (told.answers() && (can_go_on || has_gone_on)).then_some(peer)
}

/// Leaves the other one to go on alone.
pub(super) async fn retire(world: &World, broker: usize, here: Mark, heir: Mark) {
    world.trace.add(&format!("b{broker} leaves its peer to go on"));
    let retired = |mark| world.brokers[broker].state().pair.record.retired = mark;
    // Durable first: whoever hears it may go on at once.
    retired(Some(here));
    if heir.claim > here.claim {
        return;
    }
    let (me, peer) = (End::Broker(broker), End::Broker(1 - broker));
    if world.carry(me, peer).await.is_none() {
        return;
    }
    let Some(raft) = world.raft(1 - broker) else {
        // Nobody was there to hear it.
        return retired(None);
    };
    hear(world, 1 - broker, Greeting { mark: here, retired: true, ordered: false }, false);
    let now = Mark::here(&raft);
    if world.carry(peer, me).await.is_some() && now.node != heir.node && now.claim <= here.claim {
        retired(None);
    }
}

fn hear(world: &World, broker: usize, greeting: Greeting, answers: bool) {
    let Greeting { mark, retired, .. } = greeting;
    let mut state = world.brokers[broker].state();
    let answered = answers.then_some(mark).or(state.pair.told.answered);
    let at = Some(Instant::now());
    state.pair.told = Told { greeting: Some(greeting), at, missed: None, answered };
    let record = &mut state.pair.record;
    if retired || record.peer_retired.is_some_and(|it| it.node == mark.node) {
        record.peer_retired = retired.then_some(mark);
    }
}

fn greeting(world: &World, broker: usize, raft: &Raft<Replica>) -> Greeting {
    let mark = Mark::here(raft);
    let state = world.brokers[broker].state();
    let retired = state.pair.record.retired == Some(mark);
    Greeting { mark, retired, ordered: state.pair.is_ordered() }
}
