//! The one place where the table changes.

mod logins;
mod servers;
mod sessions;

use std::sync::Arc;

use crate::table::Expiring;
use crate::{AgentId, Change, Command, ENDED_KEPT_MS, Outcome, Session, SessionId, State, Table};

impl Table {
    /// Takes one step. The same table and command give the same table and outcome, everywhere.
    pub fn apply(&mut self, command: Command) -> Outcome {
        self.now = self.now.max(command.at);
        self.expire();
        match command.change {
            Change::PutBroker(broker) => self.put_broker(broker),
            Change::AdmitBroker { hash, broker } => self.admit_broker(hash, broker),
            Change::RemoveBroker { broker } => self.remove_broker(&broker),
            Change::BeginRebuild => self.begin_rebuild(),
            Change::DoubtTable { generation } => self.doubt(generation),
            Change::ExpectAgents { agents } => self.expect_agents(agents),
            Change::RestoreAgent { agent, name } => self.restore_agent(agent, name),
            Change::RestoreKey { broker, certificate, removed_at } => {
                self.restore_key(broker, certificate, removed_at)
            }
            Change::AgentRebuilt { agent } => self.agent_rebuilt(agent),
            Change::PlaceAgain { by } => self.place_again(by),
            // It did, before this was looked at.
            Change::PassTime => Outcome::Unchanged,
            Change::RaiseGeneration { to } => self.raise_generation(to),
            Change::RaiseWire { to } => self.raise_wire(to),
            Change::SetConfig { base, text, by, note } => self.set_config(base, text, by, note),
            Change::AddJoinToken { hash, expires, joins } => {
                self.add_join_token(hash, expires, joins)
            }
            Change::AdmitAgent { hash, agent, name } => self.admit_agent(hash, agent, name),
            Change::AgentHeard { agent, facts } => self.agent_heard(&agent, facts),
            Change::AgentUnheard { agent, since } => self.agent_unheard(&agent, since),
            Change::Drain { agent, plan } => self.drain(&agent, plan),
            Change::Reserve { place, user, profile, pool, key, want } => {
                self.reserve(place, user, (profile, pool), key, want)
            }
            Change::Resume { session, user, key, want } => self.resume(session, user, key, want),
            Change::Supersede { old, place, grounds } => self.supersede(old, place, grounds),
            Change::Report { session, agent, boot, report } => {
                self.report(session, &agent, boot, report)
            }
            Change::Adopt(session) => self.adopt(session),
            Change::Unlisted { session } => self.unlisted(session),
            Change::End { session, by } => self.end(session, by),
            Change::Abandon { session, by } => self.abandon(session, by),
            Change::RevokeToken { jti, until } => self.revoke(jti, until),
            Change::LogOutEverywhere { user, until } => self.log_out_everywhere(user, until),
        }
    }

    /// Adds a session and its places in the indexes.
    pub(crate) fn insert(&mut self, mut session: Session) {
        self.share(&mut session);
        self.by_user.insert((session.user.clone(), session.id));
        self.index(&session);
        self.sessions.insert(session.id, Arc::new(session));
    }

    /// Lets the session name its agent and profile by the texts that the agent's row holds already, and its pool
    /// by that of another session there. With many sessions they would be a tenth of the table.
    fn share(&self, session: &mut Session) {
        let Some(agent) = self.agents.get(&session.agent) else { return };
        session.agent = agent.id.clone();
        let other = self.sessions_on(&agent.id).next().and_then(|other| other.pool.as_ref());
        if let Some(known) = other.filter(|known| session.pool.as_ref() == Some(known)) {
            session.pool = Some(known.clone());
        }
        let profiles = agent.facts.iter().flat_map(|facts| &facts.profiles);
        if let Some(known) = profiles.map(|it| &it.name).find(|name| **name == session.profile) {
            session.profile = known.clone();
        }
    }

    /// Changes a session and its places in the indexes.
    fn change(&mut self, id: SessionId, change: impl FnOnce(&mut Session)) {
        let Some(row) = self.sessions.get(&id) else {
            return;
        };
        let mut session = (**row).clone();
        self.unindex(&session);
        change(&mut session);
        self.index(&session);
        self.sessions.insert(id, Arc::new(session));
    }

    fn index(&mut self, session: &Session) {
        match &session.state {
            State::Ended { at, .. } => {
                self.expiry.insert((at.plus(ENDED_KEPT_MS), Expiring::Session(session.id)));
            }
            state => {
                self.by_agent.insert((session.agent.clone(), session.id));
                if state.is_unsettled() {
                    self.unsettled.insert(session.id);
                }
                self.count(&session.agent, state, u32::saturating_add);
            }
        }
    }

    fn unindex(&mut self, session: &Session) {
        match &session.state {
            State::Ended { at, .. } => {
                self.expiry.remove(&(at.plus(ENDED_KEPT_MS), Expiring::Session(session.id)));
            }
            state => {
                self.by_agent.remove(&(session.agent.clone(), session.id));
                self.unsettled.remove(&session.id);
                self.count(&session.agent, state, u32::saturating_sub);
            }
        }
    }

    fn count(&mut self, agent: &AgentId, state: &State, change: fn(u32, u32) -> u32) {
        if let Some(agent) = self.agents.get_mut(agent).filter(|_| state.is_live()) {
            let agent = Arc::make_mut(agent);
            agent.live = change(agent.live, 1);
        }
    }

    fn expire(&mut self) {
        while let Some((when, what)) = self.expiry.get_min() {
            if *when > self.now {
                return;
            }
            let entry = (*when, what.clone());
            self.expiry.remove(&entry);
            match entry.1 {
                Expiring::Session(id) => {
                    if let Some(session) = self.sessions.remove(&id) {
                        self.by_user.remove(&(session.user.clone(), id));
                    }
                }
                Expiring::Start(key) => drop(self.starts.remove(&key)),
                Expiring::JoinToken(hash) => drop(self.join_tokens.remove(&hash)),
                Expiring::Revoked(jti) => drop(self.revoked.remove(&jti)),
                Expiring::LoggedOut(user) => drop(self.logged_out.remove(&user)),
            }
        }
    }
}
