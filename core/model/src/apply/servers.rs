//! Who belongs to the cluster: brokers, agents, and the tokens on which they join.

use std::sync::Arc;

use crate::table::{Admission, Expiring, JoinToken, Removed};
use crate::{
    Agent, AgentFacts, AgentId, Broker, BrokerId, Drain, Joins, Outcome, Reach, Refusal, Table,
    Timestamp, TokenHash,
};

impl Table {
    pub(super) fn put_broker(&mut self, broker: Broker) -> Outcome {
        if self.brokers.get(&broker.id).is_some_and(|known| **known == broker) {
            return Outcome::Unchanged;
        }
        let founds = self.brokers.is_empty();
        let was_lost = self.rebuild.is_some() && !self.removed.contains_key(&broker.id);
        if !founds && !was_lost && !self.brokers.contains_key(&broker.id) {
            return Outcome::Refused(Refusal::UnknownBroker);
        }
        self.insert_broker(broker);
        Outcome::Done
    }

    pub(super) fn admit_broker(&mut self, hash: TokenHash, broker: Broker) -> Outcome {
        let token = self.join_tokens.get_mut(&hash).map(|token| &mut token.admission);
        let Some(Admission::Broker(used_by)) = token else {
            return Outcome::Refused(Refusal::JoinToken);
        };
        match used_by {
            // The token of one that was removed since lets nobody in again.
            Some(user) if *user == broker.id && self.brokers.contains_key(user) => {
                return Outcome::Unchanged;
            }
            Some(_) => return Outcome::Refused(Refusal::JoinToken),
            None => *used_by = Some(broker.id.clone()),
        }
        self.insert_broker(broker);
        Outcome::Done
    }

    fn insert_broker(&mut self, broker: Broker) {
        self.revision += 1;
        self.brokers.insert(broker.id.clone(), Arc::new(broker));
    }

    pub(super) fn remove_broker(&mut self, id: &BrokerId) -> Outcome {
        let Some(row) = self.brokers.get(id) else {
            return Outcome::Unchanged;
        };
        if self.brokers.len() == 1 {
            return Outcome::Refused(Refusal::LastBroker);
        }
        let removed = Removed { certificate: row.certificate.as_str().into(), at: self.now };
        self.brokers.remove(id);
        self.removed.insert(id.clone(), removed);
        self.revision += 1;
        Outcome::Done
    }

    pub(super) fn add_join_token(
        &mut self,
        hash: TokenHash,
        expires: Timestamp,
        joins: Joins,
    ) -> Outcome {
        if self.join_tokens.contains_key(&hash) || expires <= self.now {
            return Outcome::Unchanged;
        }
        self.expiry.insert((expires, Expiring::JoinToken(hash)));
        self.join_tokens.insert(hash, JoinToken { expires, admission: joins.into() });
        Outcome::Done
    }

    pub(super) fn admit_agent(&mut self, hash: TokenHash, id: AgentId, name: String) -> Outcome {
        let token = self.join_tokens.get_mut(&hash).map(|token| &mut token.admission);
        let Some(Admission::Agent(used_by)) = token else {
            return Outcome::Refused(Refusal::JoinToken);
        };
        match used_by {
            Some(user) if *user == id => return Outcome::Unchanged,
            Some(_) => return Outcome::Refused(Refusal::JoinToken),
            None => *used_by = Some(id.clone()),
        }
        match self.agents.get_mut(&id) {
            Some(agent) => Arc::make_mut(agent).name = name,
            None => {
                let agent = Agent::new(id.clone(), name, self.now);
                self.agents.insert(id, Arc::new(agent));
            }
        }
        Outcome::Done
    }

    pub(super) fn agent_heard(&mut self, id: &AgentId, facts: Arc<AgentFacts>) -> Outcome {
        let Some(agent) = self.agents.get_mut(id) else {
            return Outcome::Refused(Refusal::UnknownAgent);
        };
        if agent.reach == Reach::Reachable && agent.facts.as_ref() == Some(&facts) {
            return Outcome::Unchanged;
        }
        let agent = Arc::make_mut(agent);
        agent.facts = Some(facts);
        agent.reach = Reach::Reachable;
        Outcome::Done
    }

    pub(super) fn agent_unheard(&mut self, id: &AgentId, since: Timestamp) -> Outcome {
        let Some(agent) = self.agents.get_mut(id) else {
            return Outcome::Refused(Refusal::UnknownAgent);
        };
        if matches!(agent.reach, Reach::Unreachable { .. }) {
            return Outcome::Unchanged;
        }
        Arc::make_mut(agent).reach = Reach::Unreachable { since };
        Outcome::Done
    }

    pub(super) fn drain(&mut self, id: &AgentId, plan: Option<Arc<Drain>>) -> Outcome {
        let Some(agent) = self.agents.get_mut(id) else {
            return Outcome::Refused(Refusal::UnknownAgent);
        };
        if agent.drain == plan {
            return Outcome::Unchanged;
        }
        Arc::make_mut(agent).drain = plan;
        Outcome::Done
    }
}

impl From<Joins> for Admission {
    fn from(joins: Joins) -> Self {
        match joins {
            Joins::Agent => Self::Agent(None),
            Joins::Broker => Self::Broker(None),
        }
    }
}
