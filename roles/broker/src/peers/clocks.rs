//! Asking the other brokers what their clocks show and which wire versions they speak, and telling them both.

use std::time::Duration;

use abide_model::{BrokerId, Timestamp};
use abide_wire::peer::{ClockReply, ClockRequest};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use crate::broker::Broker;
use crate::clock;

/// Between two rounds; fewer than what a clock counts as heard for.
const EVERY: Duration = Duration::from_secs(10);
/// Between two rounds while this broker does not know what time it is.
const URGENT: Duration = Duration::from_millis(250);
/// An answer that took longer says too little.
const WITHIN: Duration = Duration::from_secs(2);

/// Runs until the broker stops.
pub async fn compare_clocks(broker: Broker) {
    let mut asked: Option<Instant> = None;
    loop {
        let due = asked.is_none_or(|at| at.elapsed() >= EVERY) || broker.clock.is_in_doubt();
        if due {
            let mut all = JoinSet::new();
            for row in broker.raft.latest().0.brokers().filter(|row| row.id != broker.id) {
                asked = Some(Instant::now());
                all.spawn(ask(broker.clone(), row.id.clone(), row.agent_address.clone()));
            }
            all.join_all().await;
        }
        sleep(URGENT).await;
    }
}

async fn ask(broker: Broker, other: BrokerId, address: String) {
    let mut client = broker.peers.client(&address);
    let begun = Instant::now();
    let request = ClockRequest { now_ms: clock::host().0, speech: Some(broker.speaks().into()) };
    let answer = timeout(WITHIN, client.clock(request)).await.ok();
    broker.peers.judge(&address, answer.as_ref());
    match answer {
        Some(Ok(reply)) => {
            let ClockReply { now_ms, speech } = reply.into_inner();
            let half = u64::try_from(begun.elapsed().as_millis() / 2).unwrap_or(0);
            broker.clock.hear_broker(&other, Timestamp(now_ms).plus(half));
            broker.speeches.hear(&other, speech.into());
        }
        Some(Err(status)) => debug!(%address, %status, "A broker does not tell its clock"),
        None => {}
    }
}
