//! How the agents' load was in the last hour, for charts. In memory alone: each broker has what it heard
//! itself.
//!
//! All agents are looked at in the same moments, so that one list of times is for all. A sample has 12
//! bytes: 4.3 KB for an agent's hour, 43 MB for those of 10,000 agents.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use abide_api::{AgentSample, Time};
use abide_model::{AgentId, Timestamp};
use abide_wire::agent::Load;
use tokio::time::{MissedTickBehavior, interval};

use crate::broker::Broker;

/// Between two samples.
pub const EVERY: Duration = Duration::from_secs(10);
/// How many are kept: an hour.
pub const KEPT: usize = 360;

/// The last hour. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct LoadHistory(Arc<Mutex<Hour>>);

#[derive(Debug, Default)]
struct Hour {
    /// When samples were taken.
    times: VecDeque<Timestamp>,
    /// INVARIANT: none is longer than `times`; the last of each is of the last time.
    agents: HashMap<AgentId, VecDeque<Sample>>,
}

/// What was seen of one agent. What does not fit its number is the highest that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    sessions: u16,
    viewers: u16,
    /// Hundredths.
    load1: u16,
    /// Hundredths of a percent of the whole; [`NOT_HEARD`] where the agent was not heard.
    memory_available: u16,
    /// Hundredths of a percent.
    cpu_pressure: u16,
    memory_pressure: u16,
}

const NOT_HEARD: u16 = u16::MAX;

impl Sample {
    const GAP: Self = Self {
        sessions: 0,
        viewers: 0,
        load1: 0,
        memory_available: NOT_HEARD,
        cpu_pressure: 0,
        memory_pressure: 0,
    };

    /// Of an agent that is heard.
    pub fn new(sessions: u32, viewers: u32, load: &Load) -> Self {
        let fit = |value: u64| u16::try_from(value).unwrap_or(u16::MAX);
        let share = load.memory_available.min(load.memory_total) as f64;
        let share = share / load.memory_total.max(1) as f64 * 10_000.0;
        Self {
            sessions: fit(sessions.into()),
            viewers: fit(viewers.into()),
            load1: fit(u64::from(load.load1_milli) / 10),
            memory_available: fit(share.round() as u64),
            cpu_pressure: fit(load.cpu_pressure_centi.into()),
            memory_pressure: fit(load.memory_pressure_centi.into()),
        }
    }

    fn shown(self, at: Timestamp) -> Option<AgentSample> {
        let hundredths = |value: u16| f64::from(value) / 100.0;
        (self.memory_available != NOT_HEARD).then(|| AgentSample {
            at: Time(at),
            sessions: self.sessions.into(),
            viewers: self.viewers.into(),
            load1: hundredths(self.load1),
            memory_available: hundredths(self.memory_available),
            cpu_pressure: hundredths(self.cpu_pressure),
            memory_pressure: hundredths(self.memory_pressure),
        })
    }
}

impl LoadHistory {
    /// Takes a sample of each agent that there is; `None` where it is not heard.
    pub fn take(&self, at: Timestamp, agents: impl IntoIterator<Item = (AgentId, Option<Sample>)>) {
        let mut hour = self.lock();
        hour.times.push_back(at);
        if hour.times.len() > KEPT {
            hour.times.pop_front();
        }
        let mut there = HashSet::new();
        for (agent, sample) in agents {
            let fresh = || VecDeque::with_capacity(KEPT);
            let samples = hour.agents.entry(agent.clone()).or_insert_with(fresh);
            if samples.len() == KEPT {
                samples.pop_front();
            }
            samples.push_back(sample.unwrap_or(Sample::GAP));
            there.insert(agent);
        }
        hour.agents.retain(|agent, _| there.contains(agent));
    }

    /// An agent's last samples, oldest first; none of one that is not known.
    pub fn of(&self, agent: &AgentId, most: usize) -> Vec<Option<AgentSample>> {
        let hour = self.lock();
        let Some(samples) = hour.agents.get(agent) else { return Vec::new() };
        let times = hour.times.iter().rev();
        let newest = samples.iter().rev().zip(times).take(most);
        let mut shown: Vec<_> = newest.map(|(sample, at)| sample.shown(*at)).collect();
        shown.reverse();
        shown
    }

    fn lock(&self) -> MutexGuard<'_, Hour> {
        // Nothing that holds the lock can leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes samples as long as the broker runs.
pub async fn keep(broker: Broker) {
    let mut ticks = interval(EVERY);
    // What was missed while the process stood still is a gap in time, not many samples of one moment.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let replica = broker.raft.latest();
        let samples = replica.0.agents().map(|agent| {
            let reported = broker.hub.load_of(&agent.id);
            let sample = reported.map(|it| {
                let viewers = it.viewers.values().sum();
                Sample::new(agent.live, viewers, &it.load)
            });
            (agent.id.clone(), sample)
        });
        broker.load_history.take(broker.clock.now(), samples);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> AgentId {
        format!("{n:032x}").parse().unwrap()
    }

    fn load(load1_milli: u32) -> Load {
        Load {
            load1_milli,
            memory_available: 3,
            memory_total: 8,
            cpu_pressure_centi: 1250,
            ..Load::default()
        }
    }

    #[test]
    fn a_sample_says_what_the_agent_said() {
        let history = LoadHistory::default();
        history.take(Timestamp(5), [(id(1), Some(Sample::new(70_000, 2, &load(1239))))]);
        let expected = AgentSample {
            at: Time(Timestamp(5)),
            sessions: 65_535,
            viewers: 2,
            load1: 1.23,
            memory_available: 37.5,
            cpu_pressure: 12.5,
            memory_pressure: 0.0,
        };
        assert_eq!(history.of(&id(1), 10), [Some(expected)]);
        assert_eq!(size_of::<Sample>(), 12);
    }

    #[test]
    fn an_hour_is_kept_of_agents_that_there_are() {
        let history = LoadHistory::default();
        for n in 0..KEPT as u64 + 5 {
            let late = (n >= 100).then(|| (id(2), None));
            let heard = (n % 2 == 0).then(|| Sample::new(n as u32, 0, &load(0)));
            history.take(Timestamp(n), [(id(1), heard)].into_iter().chain(late));
        }
        let one = history.of(&id(1), usize::MAX);
        assert_eq!(one.len(), KEPT);
        assert_eq!(one[0], None);
        let (first, last) = (one[1].as_ref().unwrap(), one[KEPT - 1].as_ref().unwrap());
        assert_eq!((first.at, first.sessions), (Time(Timestamp(6)), 6));
        assert_eq!((last.at, last.sessions), (Time(Timestamp(364)), 364));
        assert_eq!(history.of(&id(1), 3).len(), 3);
        let two = history.of(&id(2), usize::MAX);
        assert_eq!((two.len(), two.iter().flatten().count()), (265, 0));

        history.take(Timestamp(1000), [(id(2), None)]);
        assert!(history.of(&id(1), usize::MAX).is_empty());
    }
}
