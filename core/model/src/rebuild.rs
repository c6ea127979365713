//! A table that was lost, made anew from what the agents report.
//!
//! ```text
//! (no rebuild) ─ BeginRebuild, DoubtTable ─▶ waiting ─ all expected agents have reported, or PlaceAgain ─▶ placing
//! ```
//! While it waits no session is placed, for its person may have one that was not reported yet. Agents and
//! brokers of the lost table are taken back on their certificates, also later: none of them is a newcomer.

use std::sync::Arc;

use imbl::OrdSet;

use crate::{Agent, AgentId, BrokerId, Outcome, Refusal, Removed, Table, Timestamp};

/// How a table was made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuild {
    /// When that began. What keys of the lost table signed from then on does not count.
    pub since: Timestamp,
    /// The ids or names of agents that must have reported before sessions are placed. Nobody: only a
    /// person's word counts.
    pub expected: OrdSet<Arc<str>>,
    /// The agents all of whose sessions are in the table.
    pub reported: OrdSet<AgentId>,
    /// Certificates of keys of the lost table: good for the orders that they signed.
    pub keys: OrdSet<Arc<str>>,
    /// Sessions are placed again; `None` while it waits.
    pub placing: Option<Placing>,
}

/// Why sessions are placed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placing {
    /// Since when.
    pub at: Timestamp,
    /// Who said so.
    pub by: Arc<str>,
}

/// Who says so when nobody has to.
const ALL_REPORTED: &str = "the cluster: all expected agents have reported";

impl Table {
    /// How this table was made anew, if it was.
    pub fn rebuild(&self) -> Option<&Rebuild> {
        self.rebuild.as_deref()
    }

    /// Whether no session is placed, since the table is not whole yet.
    pub fn is_rebuilding(&self) -> bool {
        self.rebuild.as_ref().is_some_and(|it| it.placing.is_none())
    }

    /// The expected agents that have not reported.
    pub fn missing(&self) -> Vec<Arc<str>> {
        let Some(rebuild) = &self.rebuild else { return Vec::new() };
        let has_reported = |expected: &str| {
            let is_it = |id: &AgentId| {
                id.as_str() == expected || self.agent(id).is_some_and(|it| it.name == expected)
            };
            rebuild.reported.iter().any(is_it)
        };
        rebuild.expected.iter().filter(|it| !has_reported(it)).cloned().collect()
    }

    /// Commands carry at least this generation: agents that obeyed a lost table's would refuse less.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn begin_rebuild(&mut self) -> Outcome {
        if self.rebuild.is_some() || !self.brokers.is_empty() {
            return Outcome::Unchanged;
        }
        // Above what agents obeyed if the lost table was the first; its terms went further than these will.
        self.generation = self.generation.max(1);
        self.rebuild = Some(Arc::new(Rebuild {
            since: self.now,
            expected: OrdSet::new(),
            reported: OrdSet::new(),
            keys: OrdSet::new(),
            placing: None,
        }));
        Outcome::Done
    }

    pub(crate) fn doubt(&mut self, generation: u64) -> Outcome {
        if generation <= self.generation {
            return Outcome::Unchanged;
        }
        self.generation = generation;
        let keys = self.rebuild.as_ref().map(|it| it.keys.clone()).unwrap_or_default();
        self.rebuild = Some(Arc::new(Rebuild {
            since: self.now,
            expected: self.agents.keys().map(|id| Arc::from(id.as_str())).collect(),
            reported: OrdSet::new(),
            keys,
            placing: None,
        }));
        Outcome::Done
    }

    pub(crate) fn expect_agents(&mut self, agents: Vec<Arc<str>>) -> Outcome {
        self.change_rebuild(|it| it.placing.is_none().then(|| it.expected.extend(agents)))
    }

    pub(crate) fn agent_rebuilt(&mut self, agent: AgentId) -> Outcome {
        if !self.agents.contains_key(&agent) {
            return Outcome::Refused(Refusal::UnknownAgent);
        }
        self.change_rebuild(|it| it.reported.insert(agent))
    }

    pub(crate) fn place_again(&mut self, by: Arc<str>) -> Outcome {
        let at = self.now;
        self.change_rebuild(|it| {
            it.placing.get_or_insert(Placing { at, by });
        })
    }

    pub(crate) fn restore_agent(&mut self, id: AgentId, name: String) -> Outcome {
        if self.agents.contains_key(&id) {
            return Outcome::Unchanged;
        }
        if self.rebuild.is_none() {
            return Outcome::Refused(Refusal::UnknownAgent);
        }
        let agent = Agent::new(id.clone(), name, self.now);
        self.agents.insert(id, Arc::new(agent));
        Outcome::Done
    }

    pub(crate) fn restore_key(
        &mut self,
        broker: BrokerId,
        certificate: Arc<str>,
        removed_at: Option<Timestamp>,
    ) -> Outcome {
        if self.brokers.get(&broker).is_some_and(|row| row.certificate == *certificate) {
            return Outcome::Unchanged;
        }
        match removed_at {
            // Whoever is here was taken in by this table.
            Some(at) if self.rebuild.is_some() && !self.brokers.contains_key(&broker) => {
                if self.removed.contains_key(&broker) {
                    return Outcome::Unchanged;
                }
                self.removed.insert(broker, Removed { certificate, at });
                self.revision += 1;
                Outcome::Done
            }
            Some(_) => Outcome::Unchanged,
            None => {
                let outcome = self.change_rebuild(|it| it.keys.insert(certificate));
                self.revision += u64::from(outcome == Outcome::Done);
                outcome
            }
        }
    }

    pub(crate) fn raise_generation(&mut self, to: u64) -> Outcome {
        if to <= self.generation {
            return Outcome::Unchanged;
        }
        self.generation = to;
        Outcome::Done
    }

    /// Changes the rebuild, if there is one, and ends its waiting when nobody is missing any more.
    fn change_rebuild<T>(&mut self, change: impl FnOnce(&mut Rebuild) -> T) -> Outcome {
        let Some(before) = self.rebuild.clone() else { return Outcome::Unchanged };
        let mut rebuild = Rebuild::clone(&before);
        change(&mut rebuild);
        if rebuild == *before {
            return Outcome::Unchanged;
        }
        let may_end = rebuild.placing.is_none() && !rebuild.expected.is_empty();
        self.rebuild = Some(Arc::new(rebuild));
        if may_end && self.missing().is_empty() {
            self.place_again(ALL_REPORTED.into());
        }
        Outcome::Done
    }
}
