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
