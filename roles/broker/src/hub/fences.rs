//! Asking the agents whom they obey, and having them promise whom they will.

use std::time::Duration;

use abide_model::{AgentId, Fence};
use abide_pair::Claim;
use abide_wire::agent::{FenceProbe, Obeys, Promise, Version, broker_message};
use tokio::time::{Instant, timeout_at};

use super::link::Link;
use super::{Hub, send};

/// Agents say something once a second: one that was silent for longer may be gone, and is not waited for if the
/// others have answered.
const LATELY: Duration = Duration::from_millis(1_100);
/// What such a one gets all the same; on a line between hosts that is long.
const MOMENT: Duration = Duration::from_millis(25);

/// Whom one agent obeys, as far as it has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Obeyed {
    /// The highest fence that it obeyed, or promised to.
    pub fence: Fence,
    /// Of the newest view of the cluster that it was told.
    pub version: Version,
}

/// One question, and to whom it was put.
struct Asked {
    probe: u64,
    agents: Vec<AgentId>,
    /// Those of them that are surely there.
    lately: Vec<AgentId>,
}

impl Hub {
    /// How many agents can be asked: those connected here themselves.
    pub fn askable(&self) -> usize {
        self.lock().by_agent.values().filter(|link| is_askable(link)).count()
    }

    /// Asks every agent that is connected here whom it obeys; gives how many have answered by the time all that
    /// were heard lately have, or `within` is over. Whoever does not answer in time has told something when it
    /// greeted, which only grows: see [`fences`](Self::fences).
    pub async fn ask_fences(&self, within: Duration) -> usize {
        let deadline = Instant::now() + within;
        let asked = self.send_probes(None);
        let has_answered = |link: &Link| link.answers(asked.probe);
        if self.until(deadline, || self.all(&asked.lately, has_answered)).await {
            let deadline = deadline.min(Instant::now() + MOMENT);
            self.until(deadline, || self.all(&asked.agents, has_answered)).await;
        }
        self.count(&asked.agents, has_answered)
    }

    /// Has every agent that is connected here promise to obey none lower than `claim` any more, unless it has
    /// obeyed a higher one than `known`. Gives how many have by the time `enough` have, all have answered, or
    /// `within` is over.
    pub async fn have_promised(
        &self,
        claim: Claim,
        known: Fence,
        enough: usize,
        within: Duration,
    ) -> usize {
        let deadline = Instant::now() + within;
        let Claim { generation, claimant } = claim;
        let next = Fence { generation, claimant, ..Fence::default() };
        let promise = Promise { next: Some(next.into()), known: Some(known.into()) };
        let asked = self.send_probes(Some(promise));
        let has_answered = |link: &Link| link.answers(asked.probe);
        let has_promised = |link: &Link| {
            let fence = link.obeys.and_then(|told| told.fence).unwrap_or_default();
            has_answered(link) && (fence.generation, fence.claimant) == (generation, claimant)
        };
        let is_over = || {
            self.count(&asked.agents, has_promised) >= enough
                || self.all(&asked.agents, has_answered)
        };
        self.until(deadline, is_over).await;
        self.count(&asked.agents, has_promised)
    }

    /// What they have told by now.
    pub fn fences(&self) -> Vec<Obeyed> {
        let links = self.lock();
        let told = links.by_agent.values().filter_map(|link| {
            let greeting = link.greeting.as_ref()?;
            let told = link.obeys.unwrap_or_default();
            let fence = link.obeyed()?;
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

    /// An agent refused a command, and named whom it obeys.
    pub fn obeys_another(&self, agent: &AgentId, number: u64, highest: Fence) {
        let mut links = self.lock();
        if let Some(link) = links.by_agent.get_mut(agent).filter(|link| link.number == number) {
            let told = link.obeys.get_or_insert_default();
            told.fence = Some(Fence::from(told.fence.unwrap_or_default()).max(highest).into());
        }
    }

    /// Whether an agent that is connected here is known to obey a higher claim than that of `fence`: it
    /// refuses what is commanded with it.
    pub fn refuses(&self, agent: &AgentId, fence: Fence) -> bool {
        self.lock().by_agent.get(agent).is_some_and(|link| link.refuses(fence))
    }

    fn send_probes(&self, promise: Option<Promise>) -> Asked {
        let mut links = self.lock();
        let probe = links.number();
        let own = links.by_agent.iter().filter(|(_, link)| is_askable(link));
        let agents: Vec<_> = own.map(|(agent, _)| agent.clone()).collect();
        let is_fresh = |agent: &&AgentId| {
            links.by_agent.get(*agent).is_some_and(|link| link.heard.instant.elapsed() < LATELY)
        };
        let mut lately: Vec<_> = agents.iter().filter(is_fresh).cloned().collect();
        if lately.is_empty() {
            // This process may have stood still.
            lately.clone_from(&agents);
        }
        for agent in &agents {
            let probe = FenceProbe { probe, promise };
            send(&mut links, agent, broker_message::Message::Fence(probe));
        }
        Asked { probe, agents, lately }
    }

    /// Waits for answers; whether that came in time.
    async fn until(&self, deadline: Instant, is_so: impl Fn() -> bool) -> bool {
        loop {
            let news = self.0.fences.notified();
            if is_so() {
                return true;
            }
            if timeout_at(deadline, news).await.is_err() {
                return is_so();
            }
        }
    }

    /// Of all that are still connected.
    fn all(&self, agents: &[AgentId], is_so: impl Fn(&Link) -> bool) -> bool {
        let links = self.lock();
        agents.iter().filter_map(|agent| links.by_agent.get(agent)).all(is_so)
    }

    fn count(&self, agents: &[AgentId], is_so: impl Fn(&Link) -> bool) -> usize {
        let links = self.lock();
        agents.iter().filter_map(|agent| links.by_agent.get(agent)).filter(|it| is_so(it)).count()
    }
}

fn is_askable(link: &Link) -> bool {
    link.via.is_none() && link.greeting.is_some()
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
            labels: std::collections::BTreeSet::new(),
            max_sessions: None,
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
            let broker_message::Message::Fence(FenceProbe { probe, .. }) = asked else {
                panic!("not asked: {asked:?}")
            };
            let version = Some(Version { generation: 9, ..Version::default() });
            let obeys = Obeys { probe, fence: Some(fence(5).into()), version };
            answering.obeys(&one, number, obeys);
        });
        assert_eq!(hub.ask_fences(Duration::from_millis(200)).await, 1);
        let mut told = hub.fences();
        told.sort_by_key(|it| it.fence);
        let generations: Vec<_> =
            told.iter().map(|it| (it.fence.generation, it.version.generation)).collect();
        assert_eq!(generations, [(2, 0), (5, 9)]);
    }

    #[tokio::test]
    async fn an_agent_refuses_a_lower_claim_than_the_one_it_greeted_or_answered_with() {
        let hub = Hub::default();
        let (two, number, _said) = greeted(&hub, 2);
        let by = |generation, claimant, term| Fence { claimant, term, ..fence(generation) };
        assert!(hub.refuses(&two, fence(1)));
        // An earlier term of the same claim is no reason to look elsewhere: its leader does not lead.
        hub.obeys_another(&two, number, by(2, 7, 5));
        assert!(!hub.refuses(&two, by(2, 7, 4)) && !hub.refuses(&two, by(2, 8, 1)));
        assert!(hub.refuses(&two, by(2, 6, 9)));
        hub.obeys_another(&two, number, by(1, 9, 9));
        assert!(hub.refuses(&two, by(2, 6, 9)), "what it obeys only grows");
        assert!(!hub.refuses(&"0".repeat(32).parse().unwrap(), fence(0)), "nobody knows of it");
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
            assert_eq!(told, 1);
            let told = hub.fences()[0].fence;
            assert_eq!(told, fence(1), "an empty answer says no less than the greeting");
        }
    }

    /// Answers every question as an agent at that fence does.
    fn answers(hub: &Hub, n: u8, at: Fence) -> AgentId {
        let (agent, number, mut said) = greeted(hub, n);
        let (hub, asked) = (hub.clone(), agent.clone());
        tokio::spawn(async move {
            let mut at = at;
            while let Some(BrokerMessage { message: Some(broker_message::Message::Fence(it)) }) =
                said.recv().await
            {
                if let Some(Promise { next, known }) = it.promise {
                    let knows = at <= known.unwrap_or_default().into();
                    at = if knows { next.unwrap_or_default().into() } else { at };
                }
                let fence = Some(at.into());
                hub.obeys(&asked, number, Obeys { probe: it.probe, fence, version: None });
            }
        });
        agent
    }

    #[tokio::test]
    async fn whoever_was_silent_for_long_holds_nobody_up_who_has_the_others_answers() {
        let hub = Hub::default();
        answers(&hub, 1, fence(1));
        let (gone, _, _said) = greeted(&hub, 2);
        let long = Duration::from_secs(60);
        hub.lock().by_agent.get_mut(&gone).unwrap().heard.instant -= LATELY;
        let asked = tokio::time::timeout(Duration::from_secs(20), hub.ask_fences(long));
        assert_eq!(asked.await.unwrap(), 1);
    }

    #[tokio::test]
    async fn promises_count_of_those_that_obeyed_nobody_higher() {
        let hub = Hub::default();
        let long = Duration::from_secs(60);
        for (n, obeyed) in [(1, 3), (2, 4), (3, 9), (4, 3)] {
            answers(&hub, n, fence(obeyed));
        }
        let claim = Claim { generation: 5, claimant: 7 };
        let all = tokio::time::timeout(
            Duration::from_secs(20),
            hub.have_promised(claim, fence(4), usize::MAX, long),
        );
        assert_eq!(all.await.unwrap(), 3, "one had obeyed what this broker does not know");
        let (_silent, _, _said) = greeted(&hub, 5);
        let other = Claim { generation: 6, claimant: 7 };
        let enough = hub.have_promised(other, Fence { claimant: 7, ..fence(5) }, 3, long);
        let enough = tokio::time::timeout(Duration::from_secs(20), enough).await.unwrap();
        assert_eq!(enough, 3, "the silent one is not waited for");
    }
}
