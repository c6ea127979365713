//! Another group of this cluster's brokers that commands the agents too: the lost table was made anew twice.
//!
//! Each would go above what the other made the agents obey, for ever. The one that sees an agent go above
//! what this group had gone above already gives in: agents refuse its commands from then on, and an operator
//! is told. Nothing ends; the sessions are in the other's table too.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use abide_model::AgentId;

/// What is known of rivals. In memory: a broker that is started anew looks again.
#[derive(Debug, Default)]
pub struct Rivals(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Agents above whose fences this group has gone.
    passed: BTreeSet<AgentId>,
    /// What an agent obeyed that was above this group's again.
    met: Option<u64>,
}

impl Rivals {
    /// This group has gone above what the agent obeyed.
    pub fn pass(&self, agent: &AgentId) {
        self.known().passed.insert(agent.clone());
    }

    /// Whether an agent above which this group had gone obeys somebody higher now. Whoever asks knows that it
    /// is nobody of this group.
    pub fn has_passed(&self, agent: &AgentId) -> bool {
        self.known().passed.contains(agent)
    }

    /// There is a rival, of this generation; whether that is news.
    pub fn meet(&self, generation: u64) -> bool {
        self.known().met.replace(generation).is_none()
    }

    /// The rival's generation, if there is one.
    pub fn met(&self) -> Option<u64> {
        self.known().met
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // One entry is added or replaced at a time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For operators.
pub fn told(generation: u64) -> String {
    format!(
        "another group of this cluster's brokers commands the agents, under generation {generation}: \
         the lost table was made anew twice. Stop this group's brokers, move their data folders away and \
         start them: they join the other"
    )
}
