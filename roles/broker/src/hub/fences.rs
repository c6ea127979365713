//! Asking the agents whom they obey.

use std::time::Duration;

use abide_model::{AgentId, Fence};
use abide_wire::agent::{FenceProbe, Obeys, Version, broker_message};
use tokio::time::{Instant, timeout_at};

use super::{Hub, send};

/// Whom one agent obeys, as far as it has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Obeyed {
    /// The highest fence that it obeyed.
    pub fence: Fence,
    /// Of the newest view of the cluster that it was told.
    pub version: Version,
}

impl Hub {
    /// Asks every agent that is connected here whom it obeys, and gives what they have told by the time all
    /// have answered, or `within` is over. Whoever does not answer in time has told something when it
    /// greeted, which only grows.
    pub async fn ask_fences(&self, within: Duration) -> Vec<Obeyed> {
        let deadline = Instant::now() + within;
        let (probe, asked) = self.send_probes();
        loop {
            let news = self.0.fences.notified();
            if self.has_answered(&asked, probe) || timeout_at(deadline, news).await.is_err() {
                return self.fences();
            }
        }
    }

    /// What they have told by now.
    pub fn fences(&self) -> Vec<Obeyed> {
        let links = self.lock();
        let told = links.by_agent.values().filter_map(|link| {
            let greeting = link.greeting.as_ref()?;
            let told = link.obeys.unwrap_or_default();
            let fence = greeting.fence.max(told.fence.unwrap_or_default().into());
            let order = |it: &Version| (it.generation, it.claimant, it.revision);
            let versions = [greeting.version, told.version.unwrap_or_default()];
            let version = versions.into_iter().max_by_key(order)?;
            Some(Obeyed { fence, version })
        });
        told.collect()
    }

    /// An agent says whom it obeys.
    pub fn obeys(&self, agent: &AgentId, number: u64, told: Obeys) {
        let mut links = self.lock();
        if let Some(link) = links.by_agent.get_mut(agent).filter(|link| link.number == number) {
            link.obeys = Some(told);
        }
        drop(links);
        self.0.fences.notify_one();
    }

    fn send_probes(&self) -> (u64, Vec<AgentId>) {
        let mut links = self.lock();
        let probe = links.number();
        let own = links.by_agent.iter();
        let own = own.filter(|(_, link)| link.via.is_none() && link.greeting.is_some());
        let agents: Vec<_> = own.map(|(agent, _)| agent.clone()).collect();
        for agent in &agents {
            send(&mut links, agent, broker_message::Message::Fence(FenceProbe { probe }));
        }
        (probe, agents)
    }

    fn has_answered(&self, agents: &[AgentId], probe: u64) -> bool {
        let links = self.lock();
        let mut here = agents.iter().filter_map(|agent| links.by_agent.get(agent));
        here.all(|link| link.obeys.as_ref().is_some_and(|told| told.probe >= probe))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use abide_model::{AgentFacts, Timestamp};
    use abide_wire::agent::{self, BrokerMessage};
    use tokio::sync::mpsc;

    use super::*;
    use crate::hub::{Greeting, Heard};

    fn fence(generation: u64) -> Fence {
        Fence { generation, ..Fence::default() }
    }

    /// An agent that greeted with this fence.
    fn greeted(hub: &Hub, n: u8) -> (AgentId, u64, mpsc::Receiver<BrokerMessage>) {
        let (outbox, said) = mpsc::channel(8);
        let agent: AgentId = format!("{n:032x}").parse().unwrap();
        let now = Heard { instant: std::time::Instant::now(), at: Timestamp(0) };
        let (number, _) = hub.connect(&agent, outbox, now);
        let facts = Arc::new(AgentFacts {
            boot: "boot".parse().unwrap(),
            public_url: String::new(),
            weight: 1,
            profiles: Vec::new(),
        });
        let (version, hello) = (Version::default(), agent::Hello::default());
        let greeting = Greeting { facts, fence: fence(n.into()), version, hello };
        hub.greet(&agent, number, greeting, HashMap::new());
        (agent, number, said)
    }

    #[tokio::test]
    async fn whoever_answers_tells_what_it_obeys_now_and_nobody_is_waited_for_longer() {
        let hub = Hub::default();
        let (one, number, mut said) = greeted(&hub, 1);
        // An agent of an earlier version does not know the question.
        let (_two, _, _silent) = greeted(&hub, 2);
        let answering = hub.clone();
        tokio::spawn(async move {
            let asked = said.recv().await.unwrap().message.unwrap();
            let broker_message::Message::Fence(FenceProbe { probe }) = asked else {
                panic!("not asked: {asked:?}")
            };
            let version = Some(Version { generation: 9, ..Version::default() });
            let obeys = Obeys { probe, fence: Some(fence(5).into()), version };
            answering.obeys(&one, number, obeys);
        });
        let mut told = hub.ask_fences(Duration::from_millis(200)).await;
        told.sort_by_key(|it| it.fence);
        let generations: Vec<_> =
            told.iter().map(|it| (it.fence.generation, it.version.generation)).collect();
        assert_eq!(generations, [(2, 0), (5, 9)]);
    }

    #[tokio::test]
    async fn all_answers_end_the_waiting() {
        let hub = Hub::default();
        let (one, number, mut said) = greeted(&hub, 1);
        let answering = hub.clone();
        tokio::spawn(async move {
            while let Some(BrokerMessage { message: Some(broker_message::Message::Fence(it)) }) =
                said.recv().await
            {
                let obeys = Obeys { probe: it.probe, ..Obeys::default() };
                answering.obeys(&one, number, obeys);
            }
        });
        for _ in 0..3 {
            let asked = hub.ask_fences(Duration::from_secs(60));
            let told = tokio::time::timeout(Duration::from_secs(20), asked).await.unwrap();
            assert_eq!(told.len(), 1);
            assert_eq!(told[0].fence, fence(1), "an empty answer says no less than the greeting");
        }
    }
}
