//! Telling the leader whom this broker hears.

use std::time::{Duration, Instant};

use abide_raft::Role;
use abide_wire::peer::{Heard, HearsayRequest};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::debug;

use crate::broker::Broker;
use crate::timing;

const EVERY: Duration = Duration::from_secs(1);
/// Between two tellings: after a restart thousands of agents come in a second, and each telling names all.
const PAUSE: Duration = Duration::from_millis(50);
/// For the leader's answer. What it did not hear is told again soon.
const WITHIN: Duration = Duration::from_secs(1);

/// Runs until the engine stops: tells whoever leads, once a second, and at once when an agent comes or goes
/// or another broker leads.
pub async fn tell(broker: Broker) {
    let mut leadership = broker.raft.leadership();
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = broker.hub.comings() => {}
            changed = leadership.changed() => if changed.is_err() { return },
        }
        let now = leadership.borrow_and_update().clone();
        let leader = now.leader.filter(|_| now.role == Role::Following);
        if let Some((_, leader)) = leader {
            tell_once(&broker, &leader.address).await;
            sleep(PAUSE).await;
        }
    }
}

async fn tell_once(broker: &Broker, leader: &str) {
    let heard = broker.hub.heard_here(Instant::now());
    // What was heard longer ago says nothing any more.
    let stale = timing::silences(broker.settings.timing).forgotten;
    let agents = heard.into_iter().filter(|(_, ago)| *ago < stale).map(|(agent, ago)| Heard {
        agent: agent.to_string(),
        ago_ms: u32::try_from(ago.as_millis()).unwrap_or(u32::MAX),
    });
    let request = HearsayRequest { agents: agents.collect() };
    let mut client = broker.peers.client(leader);
    let answer = timeout(WITHIN, client.hearsay(request)).await.ok();
    broker.peers.judge(leader, answer.as_ref());
    if let Some(Err(status)) = answer {
        debug!(leader, %status, "The leader was not told whom this broker hears");
    }
}
