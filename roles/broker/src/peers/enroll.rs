//! Asking to take part, until this broker votes; and again whenever it does not any more, or has another
//! address.

use std::collections::BTreeSet;
use std::time::Duration;

use abide_raft::{Claim, NodeId, Peer};
use abide_wire::Speaks;
use abide_wire::peer::{Blank, EnrollReply, EnrollRequest};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, info};

use super::Peers;
use crate::broker::Broker;

/// Between two rounds while this broker does not take part.
const AGAIN: Duration = Duration::from_millis(250);
/// Between two looks while it does.
const LOOK: Duration = Duration::from_secs(2);
/// For one broker's answer.
const WITHIN: Duration = Duration::from_secs(3);

/// Where a broker leads that one of these knows, if any does: the cluster's table is not lost then.
pub async fn find_leader(peers: &Peers, known: &[String], me: &str) -> Option<String> {
    let mut asked = JoinSet::new();
    for address in known.iter().filter(|address| *address != me) {
        let (mut client, address) = (peers.client(address), address.clone());
        asked.spawn(async move {
            let answer = timeout(WITHIN, client.leader(Blank {})).await;
            match answer.ok()? {
                Ok(reply) => Some(reply.into_inner().address).filter(|leader| !leader.is_empty()),
                Err(status) => {
                    debug!(address, %status, "Knows of no leader");
                    None
                }
            }
        });
    }
    while let Some(answer) = asked.join_next().await {
        if let Ok(Some(leader)) = answer {
            return Some(leader);
        }
    }
    None
}

/// Runs until the broker stops. `known` are the other brokers' addresses as they were known last.
pub async fn enroll(broker: Broker, known: Vec<String>) {
    let me = broker.as_peer();
    let mut waiting = false;
    loop {
        if broker.roster.is_settled(broker.raft.node(), &me) {
            if std::mem::take(&mut waiting) {
                info!("This broker takes part");
            }
            sleep(LOOK).await;
            continue;
        }
        if !std::mem::replace(&mut waiting, true) {
            info!("Asking the other brokers to take part");
        }
        let mut said = Vec::new();
        for address in addresses(&broker, &known, &me) {
            let Some((leader, speaks)) = ask(&broker, &address, &me).await else { continue };
            said.push(speaks);
            if !leader.is_empty() && leader != address {
                said.extend(ask(&broker, &leader, &me).await.map(|(_, speaks)| speaks));
            }
        }
        // All have heard from this broker by now, also if it stops on what they say.
        said.iter().for_each(|speaks| broker.speeches.told(speaks));
        sleep(AGAIN).await;
    }
}

fn addresses(broker: &Broker, known: &[String], me: &Peer) -> BTreeSet<String> {
    let table = broker.raft.latest();
    let rows = table.0.brokers().map(|row| row.agent_address.clone());
    let all = rows.chain(known.iter().cloned());
    all.filter(|address| *address != me.address && !address.is_empty()).collect()
}

/// Where the leader is, if the other broker knows; and what that broker speaks.
async fn ask(broker: &Broker, address: &str, me: &Peer) -> Option<(String, Speaks)> {
    let (node, claim) = (broker.raft.node().0, broker.raft.claim());
    let pristine = broker.raft.is_pristine();
    let mut client = broker.peers.client(address);
    let call = client.enroll(EnrollRequest {
        node,
        address: me.address.clone(),
        generation: claim.generation,
        claimant: claim.claimant.0,
        pristine,
        speech: Some(broker.speaks().into()),
    });
    let answer = timeout(WITHIN, call).await.ok();
    broker.peers.judge(address, answer.as_ref());
    match answer? {
        Ok(reply) => {
            let EnrollReply { leader, generation, claimant, speech, .. } = reply.into_inner();
            let theirs = Claim { generation, claimant: NodeId(claimant) };
            let speaks = Speaks::from(speech);
            if pristine
                && theirs > claim
                && !speaks.is_beyond()
                && let Err(cause) = broker.raft.adopt_claim(theirs).await
            {
                debug!(address, %cause, "Its claim cannot be taken on");
            }
            Some((leader, speaks))
        }
        Err(status) => {
            debug!(address, %status, "Not taken in");
            None
        }
    }
}
