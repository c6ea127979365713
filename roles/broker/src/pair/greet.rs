//! Greeting the other one: once a second, when there is doubt, and before an ordered stop.

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

/// What an ordered stop is to leave behind; nothing if the peer does not vote, or does not answer.
pub(crate) fn may_retire(broker: &Broker) -> Option<Mark> {
    let told = broker.pair.told();
    let peer = NodeId(told.greeting?.node);
    let votes = broker.raft.status().members.voters.iter().any(|set| set.contains(&peer));
    (told.answers() && votes).then(|| Mark::here(&broker.raft))
}

/// After an ordered end of the engine: leaves the other one to go on alone, if it can and hears that. What
/// was acknowledged is on its disk too.
pub(crate) async fn retire(broker: &Broker, mark: Mark) {
    let (pair, peers) = (&broker.pair, &broker.peers);
    let Some(settings) = pair.settings() else { return };
    // Durable first: whoever hears it may go on at once.
    pair.change(|record| record.retired = Some(mark));
    let Mark { generation, claimant, node } = mark;
    let farewell = Greeting { generation, claimant, node, retired: true, ..Greeting::default() };
    let mut client = peers.client(&settings.peer);
    match timeout(FAREWELL, client.greet(farewell)).await {
        Ok(Ok(_)) => info!(peer = settings.peer, "The peer may go on alone"),
        // It may have heard all the same.
        Ok(Err(_)) | Err(_) => {
            warn!(peer = settings.peer, "The peer has not answered the farewell")
        }
    }
}
