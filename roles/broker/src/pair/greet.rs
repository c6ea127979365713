//! Greeting the other one: once a second, when there is doubt, and before an ordered stop.

use std::error::Error;
use std::time::Duration;

use abide_raft::{Claim, NodeId, Raft};
use abide_wire::peer::Greeting;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::Pair;
use super::mark::Mark;
use crate::broker::Broker;
use crate::peers::Peers;
use crate::replica::Replica;

/// Between two greetings.
const EVERY: Duration = Duration::from_secs(1);
/// For an answer.
const WITHIN: Duration = Duration::from_millis(300);
/// For the last words' answer.
const FAREWELL: Duration = Duration::from_secs(1);

/// Runs until the broker stops.
pub(crate) async fn greet(broker: Broker) {
    if broker.pair.settings().is_none() {
        return std::future::pending().await;
    }
    loop {
        ask(&broker.pair, &broker.peers, &broker.raft, WITHIN).await;
        // Whoever is in a hurry asks at once; but not all the time.
        let hurry = async {
            tokio::time::sleep(WITHIN).await;
            broker.pair.0.hurry.notified().await;
        };
        let _ = timeout(EVERY, hurry).await;
    }
}

/// Greets it once; whether it answered.
pub(crate) async fn ask(
    pair: &Pair,
    peers: &Peers,
    raft: &Raft<Replica>,
    within: Duration,
) -> bool {
    let Some(settings) = pair.settings() else { return false };
    let mut client = peers.client(&settings.peer);
    let answer = timeout(within, client.greet(pair.greeting(raft))).await.ok();
    peers.judge(&settings.peer, answer.as_ref());
    match answer {
        Some(Ok(reply)) => {
            pair.note(reply.get_ref(), true);
            true
        }
        Some(Err(status)) => {
            debug!(peer = settings.peer, %status, "The peer does not greet");
            pair.missed();
            false
        }
        None => {
            pair.missed();
            false
        }
    }
}

/// Asks the other one, before anything is served, whether its claim is the higher one; gives it if it is,
/// and there are data here that stand on another.
pub(crate) async fn meet(pair: &Pair, peers: &Peers, raft: &Raft<Replica>) -> Option<Claim> {
    ask(pair, peers, raft, WITHIN).await;
    let told = pair.told().greeting?;
    let theirs = Claim { generation: told.generation, claimant: NodeId(told.claimant) };
    (theirs > raft.claim() && !raft.is_pristine()).then_some(theirs)
}

/// After an ordered end of the engine: leaves the other one to go on alone, if it can and hears that. What
/// was acknowledged is on its disk too.
pub(crate) async fn retire(broker: &Broker) {
    let (pair, peers, raft) = (&broker.pair, &broker.peers, &broker.raft);
    let Some(settings) = pair.settings() else { return };
    // Asked now: since its last word it may have lost its data, and then these are the only ones.
    if !ask(pair, peers, raft, WITHIN).await {
        return;
    }
    let Some(peer) = pair.told().greeting else { return };
    let mark = Mark::here(raft);
    let has_gone_on = is_above(&peer, mark);
    if !has_gone_on && !can_go_on(raft, &peer) {
        return;
    }
    // Durable first: whoever hears it may go on at once.
    pair.change(|record| record.retired = Some(mark));
    if has_gone_on {
        return;
    }
    let Mark { generation, claimant, node } = mark;
    let farewell = Greeting { generation, claimant, node, retired: true, ..Greeting::default() };
    let mut client = peers.client(&settings.peer);
    let answer = timeout(FAREWELL, client.greet(farewell)).await;
    match answer {
        Ok(Ok(now)) if is_another_life(now.get_ref(), &peer, mark) => {
            warn!(peer = settings.peer, "The peer has just lost its data: it cannot go on alone");
            pair.change(|record| record.retired = None);
        }
        Ok(Ok(_)) => info!(peer = settings.peer, "The peer may go on alone"),
        Ok(Err(status)) if is_nobody(&status) => {
            warn!(peer = settings.peer, "The peer has just ended: it has not heard the farewell");
            pair.change(|record| record.retired = None);
        }
        // It may have heard all the same.
        Ok(Err(_)) | Err(_) => {
            warn!(peer = settings.peer, "The peer has not answered the farewell")
        }
    }
}

/// Whether the peer, as it tells of itself, may go on alone: it knows that it votes. While it is being taken in
/// it may not know it yet, though it does here.
fn can_go_on(raft: &Raft<Replica>, peer: &Greeting) -> bool {
    let voters = raft.status().members.voters;
    matches!(&voters[..], [set] if set.contains(&NodeId(peer.node)))
}

/// Whether it is none any more that can go on from these data, and did not just do it.
fn is_another_life(now: &Greeting, before: &Greeting, here: Mark) -> bool {
    now.node != before.node && !is_above(now, here)
}

fn is_above(peer: &Greeting, here: Mark) -> bool {
    (peer.generation, peer.claimant) > (here.generation, here.claimant)
}

/// Whether nobody was there to hear it.
fn is_nobody(status: &tonic::Status) -> bool {
    let mut next = status.source();
    while let Some(cause) = next {
        let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if kind == Some(std::io::ErrorKind::ConnectionRefused) {
            return true;
        }
        next = cause.source();
    }
    false
}
