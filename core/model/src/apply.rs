//! The one place where the table changes.
//!
//! ```text
//! Reserved → Starting → Running → Ending → Ended
//!     └──────────┴→ Superseded ───────────→ Ended
//! ```
//! An agent's report moves a session forward, never back. Two exceptions, for sessions that exist after
//! all: one that somebody gave up while it was unreachable is there again; and so is one that was
//! superseded, if a viewer was ever attached to it.
//!
//! A session's end counts from when it is known here: its agent's clock may be off.

use std::sync::Arc;

use crate::table::{Admission, Expiring, JoinToken, LoggedOut, Removed, Start};
use crate::{
    Agent, AgentFacts, AgentId, BootId, Broker, BrokerId, Change, Command, ENDED_KEPT_MS,
    EndReason, IdempotencyKey, Joins, KEYS_KEPT_MS, Outcome, Place, ProfileName, Reach, Refusal,
    Report, Session, SessionId, State, Table, Timestamp, TokenHash, UserName, Want,
};

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
            Change::AddJoinToken { hash, expires, joins } => {
                self.add_join_token(hash, expires, joins)
            }
            Change::AdmitAgent { hash, agent, name } => self.admit_agent(hash, agent, name),
            Change::AgentHeard { agent, facts } => self.agent_heard(&agent, facts),
            Change::AgentUnheard { agent, since } => self.agent_unheard(&agent, since),
            Change::Reserve { place, user, profile, key, want } => {
                self.reserve(place, user, profile, key, want)
            }
            Change::Supersede { old, place } => self.supersede(old, place),
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

    fn put_broker(&mut self, broker: Broker) -> Outcome {
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

    fn admit_broker(&mut self, hash: TokenHash, broker: Broker) -> Outcome {
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

    fn remove_broker(&mut self, id: &BrokerId) -> Outcome {
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

    fn add_join_token(&mut self, hash: TokenHash, expires: Timestamp, joins: Joins) -> Outcome {
        if self.join_tokens.contains_key(&hash) || expires <= self.now {
            return Outcome::Unchanged;
        }
        self.expiry.insert((expires, Expiring::JoinToken(hash)));
        self.join_tokens.insert(hash, JoinToken { expires, admission: joins.into() });
        Outcome::Done
    }

    fn admit_agent(&mut self, hash: TokenHash, id: AgentId, name: String) -> Outcome {
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
                let reach = Reach::Unreachable { since: self.now };
                let agent = Agent {
                    id: id.clone(),
                    name,
                    joined_at: self.now,
                    facts: None,
                    reach,
                    live: 0,
                };
                self.agents.insert(id, Arc::new(agent));
            }
        }
        Outcome::Done
    }

    fn agent_heard(&mut self, id: &AgentId, facts: Arc<AgentFacts>) -> Outcome {
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

    fn agent_unheard(&mut self, id: &AgentId, since: Timestamp) -> Outcome {
        let Some(agent) = self.agents.get_mut(id) else {
            return Outcome::Refused(Refusal::UnknownAgent);
        };
        if matches!(agent.reach, Reach::Unreachable { .. }) {
            return Outcome::Unchanged;
        }
        Arc::make_mut(agent).reach = Reach::Unreachable { since };
        Outcome::Done
    }

    fn reserve(
        &mut self,
        place: Place,
        user: UserName,
        profile: ProfileName,
        key: IdempotencyKey,
        want: Want,
    ) -> Outcome {
        match self.started_by(&user, &key, &want) {
            Ok(Some(session)) => return Outcome::Reserved(session),
            Ok(None) => {}
            Err(refusal) => return Outcome::Refused(refusal),
        }
        if let Some(session) = self.resumable(&user, &want) {
            let session = session.id;
            self.remember_start((user, key), session, Some(want), self.now);
            return Outcome::Existing(session);
        }
        if self.is_rebuilding() {
            return Outcome::Refused(Refusal::Rebuilding);
        }
        if let Err(refusal) = self.check_place(&place) {
            return Outcome::Refused(refusal);
        }
        self.remember_start((user.clone(), key.clone()), place.session, Some(want), self.now);
        let session = place.session;
        self.insert(Session {
            id: place.session,
            user,
            agent: place.agent,
            profile,
            key,
            view_key: place.view_key,
            created_at: self.now,
            boot: None,
            state: State::Reserved,
            unlisted_since: None,
        });
        Outcome::Reserved(session)
    }

    fn supersede(&mut self, old: SessionId, place: Place) -> Outcome {
        let Some(row) = self.sessions.get(&old).cloned() else {
            return Outcome::Refused(Refusal::UnknownSession);
        };
        if let Some(by) = row.superseded_by() {
            let last = self.successor(by);
            return match self.sessions.contains_key(&last) {
                true => Outcome::Reserved(last),
                false => Outcome::Refused(Refusal::UnknownSession),
            };
        }
        if !matches!(row.state, State::Reserved | State::Starting) {
            return Outcome::Refused(Refusal::NotReserved);
        }
        if self.unreachable_since(&row).is_none() {
            return Outcome::Refused(Refusal::StillReachable);
        }
        if let Err(refusal) = self.check_place(&place) {
            return Outcome::Refused(refusal);
        }
        self.change(old, |row| row.state = State::Superseded { by: place.session });
        let session = place.session;
        self.insert(Session {
            id: place.session,
            agent: place.agent,
            view_key: place.view_key,
            created_at: self.now,
            boot: None,
            state: State::Reserved,
            unlisted_since: None,
            ..(*row).clone()
        });
        Outcome::Reserved(session)
    }

    fn check_place(&self, place: &Place) -> Result<(), Refusal> {
        if self.sessions.contains_key(&place.session) {
            return Err(Refusal::NotReserved);
        }
        match self.agents.get(&place.agent).map(|agent| agent.reach) {
            None => Err(Refusal::UnknownAgent),
            Some(Reach::Unreachable { .. }) => Err(Refusal::AgentUnreachable),
            Some(Reach::Reachable) => Ok(()),
        }
    }

    fn report(&mut self, id: SessionId, agent: &AgentId, boot: BootId, report: Report) -> Outcome {
        let Some(row) = self.sessions.get(&id) else {
            return Outcome::Refused(Refusal::UnknownSession);
        };
        if row.agent != *agent {
            return Outcome::Refused(Refusal::WrongAgent);
        }
        let Some(state) = reported_state(&row.state, &report, self.now) else {
            if row.unlisted_since.is_none() {
                return Outcome::Unchanged;
            }
            self.change(id, |row| row.unlisted_since = None);
            return Outcome::Done;
        };
        self.change(id, |row| {
            row.state = state;
            row.boot = Some(boot);
            row.unlisted_since = None;
        });
        Outcome::Done
    }

    fn adopt(&mut self, session: Arc<Session>) -> Outcome {
        if self.sessions.contains_key(&session.id) {
            return Outcome::Unchanged;
        }
        if !self.agents.contains_key(&session.agent) {
            return Outcome::Refused(Refusal::UnknownAgent);
        }
        if !session.state.is_live() {
            return Outcome::Refused(Refusal::Ended);
        }
        let start = (session.user.clone(), session.key.clone());
        // The clock that reserved it may have been ahead, or long ago.
        let from = session.created_at.min(self.now);
        if !self.starts.contains_key(&start) && from.plus(KEYS_KEPT_MS) > self.now {
            self.remember_start(start, session.id, None, from);
        }
        self.insert((*session).clone());
        Outcome::Done
    }

    fn unlisted(&mut self, id: SessionId) -> Outcome {
        let now = self.now;
        match self.sessions.get(&id).map(|row| (&row.state, row.unlisted_since)) {
            None => Outcome::Refused(Refusal::UnknownSession),
            Some((State::Starting | State::Running | State::Ending { .. }, None)) => {
                self.change(id, |row| row.unlisted_since = Some(now));
                Outcome::Done
            }
            Some(_) => Outcome::Unchanged,
        }
    }

    fn end(&mut self, id: SessionId, by: Arc<str>) -> Outcome {
        let id = self.successor(id);
        match self.sessions.get(&id).map(|row| &row.state) {
            None => Outcome::Refused(Refusal::UnknownSession),
            Some(State::Reserved | State::Starting | State::Running) => {
                self.change(id, |row| row.state = State::Ending { by });
                Outcome::Done
            }
            // Whoever heard no answer asks again, and may not be told that it failed.
            Some(State::Ending { .. } | State::Superseded { .. } | State::Ended { .. }) => {
                Outcome::Unchanged
            }
        }
    }

    fn abandon(&mut self, id: SessionId, by: Arc<str>) -> Outcome {
        // A superseded one waits for its agent's word; giving it up would cut its key's way on.
        let id = self.successor(id);
        let Some(row) = self.sessions.get(&id) else {
            return Outcome::Refused(Refusal::UnknownSession);
        };
        match &row.state {
            State::Ended { reason: EndReason::Abandoned { .. }, .. } => return Outcome::Unchanged,
            State::Ended { .. } => return Outcome::Refused(Refusal::Ended),
            _ if self.unreachable_since(row).is_none() => {
                return Outcome::Refused(Refusal::StillReachable);
            }
            _ => {}
        }
        let at = self.now;
        self.change(id, |row| {
            row.state = State::Ended { at, reason: EndReason::Abandoned { by } };
        });
        Outcome::Done
    }

    fn revoke(&mut self, jti: [u8; 16], until: Timestamp) -> Outcome {
        if self.revoked.contains_key(&jti) || until <= self.now {
            return Outcome::Unchanged;
        }
        self.revoked.insert(jti, until);
        self.expiry.insert((until, Expiring::Revoked(jti)));
        Outcome::Done
    }

    fn log_out_everywhere(&mut self, user: UserName, until: Timestamp) -> Outcome {
        if until <= self.now {
            return Outcome::Unchanged;
        }
        let mut until = until;
        if let Some(old) = self.logged_out.get(&user) {
            self.expiry.remove(&(old.until, Expiring::LoggedOut(user.clone())));
            until = until.max(old.until);
        }
        self.expiry.insert((until, Expiring::LoggedOut(user.clone())));
        self.logged_out.insert(user, LoggedOut { before: self.now, until });
        Outcome::Done
    }

    fn remember_start(
        &mut self,
        key: (UserName, IdempotencyKey),
        session: SessionId,
        want: Option<Want>,
        from: Timestamp,
    ) {
        let until = from.plus(KEYS_KEPT_MS);
        self.expiry.insert((until, Expiring::Start(key.clone())));
        self.starts.insert(key, Start { session, want, until });
    }

    /// Adds a session and its places in the indexes.
    pub(crate) fn insert(&mut self, session: Session) {
        self.by_user.insert((session.user.clone(), session.id));
        self.index(&session);
        self.sessions.insert(session.id, Arc::new(session));
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

impl From<Joins> for Admission {
    fn from(joins: Joins) -> Self {
        match joins {
            Joins::Agent => Self::Agent(None),
            Joins::Broker => Self::Broker(None),
        }
    }
}

impl Session {
    /// Whether a report of its agent says something new.
    pub fn learns_from(&self, report: &Report) -> bool {
        self.unlisted_since.is_some()
            || reported_state(&self.state, report, Timestamp::default()).is_some()
    }
}

/// Where a report moves a session; `None` if it says nothing new.
fn reported_state(state: &State, report: &Report, now: Timestamp) -> Option<State> {
    use State::{Ended, Ending, Reserved, Running, Starting, Superseded};
    match (state, report) {
        (Ended { reason: EndReason::Abandoned { .. }, .. }, Report::Running { .. }) => {
            Some(Running)
        }
        (Ended { .. }, _) => None,
        // Somebody worked in it after all: it is theirs, beside the one that replaced it.
        (Superseded { .. }, Report::Running { ever_attached: true }) => Some(Running),
        // Believed, it could lead a key round in circles.
        (_, Report::Ended { reason }) if !reason.is_agents() => None,
        (Superseded { by }, Report::Ended { .. } | Report::Cancelled) => {
            Some(Ended { at: now, reason: EndReason::Superseded { by: *by } })
        }
        (_, Report::Ended { reason }) => Some(Ended { at: now, reason: reason.clone() }),
        (Ending { by }, Report::Cancelled) => {
            Some(Ended { at: now, reason: EndReason::Asked { by: by.clone() } })
        }
        (_, Report::Cancelled) => Some(Ended { at: now, reason: EndReason::Cancelled }),
        (Reserved, Report::Starting) => Some(Starting),
        (Reserved | Starting, Report::Running { .. }) => Some(Running),
        (Reserved | Starting | Running, Report::Ending) => Some(Ending { by: "the agent".into() }),
        _ => None,
    }
}
