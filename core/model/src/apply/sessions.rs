//! Sessions: promised, reported, ended.
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

use crate::table::{Expiring, Start};
use crate::{
    AgentId, BootId, EndReason, Grounds, IdempotencyKey, KEYS_KEPT_MS, Outcome, Place, PoolName,
    ProfileName, Reach, Refusal, Report, Session, SessionId, State, Table, Timestamp, UserName,
    Want,
};

impl Table {
    pub(super) fn reserve(
        &mut self,
        place: Place,
        user: UserName,
        (profile, pool): (ProfileName, Option<PoolName>),
        key: IdempotencyKey,
        want: Want,
    ) -> Outcome {
        if let Some(outcome) = self.repeated(&user, &key, &want) {
            return outcome;
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
            pool,
            key,
            view_key: place.view_key,
            created_at: self.now,
            boot: None,
            state: State::Reserved,
            unlisted_since: None,
        });
        Outcome::Reserved(session)
    }

    /// What a key that was used before comes to.
    fn repeated(&self, user: &UserName, key: &IdempotencyKey, want: &Want) -> Option<Outcome> {
        match self.started_by(user, key, want) {
            Ok(session) => session.map(Outcome::Reserved),
            Err(refusal) => Some(Outcome::Refused(refusal)),
        }
    }

    pub(super) fn resume(
        &mut self,
        session: SessionId,
        user: UserName,
        key: IdempotencyKey,
        want: Want,
    ) -> Outcome {
        if let Some(outcome) = self.repeated(&user, &key, &want) {
            return outcome;
        }
        // It may have been placed anew since it was found.
        let session = self.successor(session);
        match self.sessions.get(&session).filter(|row| row.user == user).map(|row| &row.state) {
            None => Outcome::Refused(Refusal::UnknownSession),
            Some(state) if !state.is_resumable() => Outcome::Refused(Refusal::Ended),
            Some(_) => {
                self.remember_start((user, key), session, Some(want), self.now);
                Outcome::Existing(session)
            }
        }
    }

    pub(super) fn supersede(&mut self, old: SessionId, place: Place, grounds: Grounds) -> Outcome {
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
        match grounds {
            Grounds::Unheard if self.unreachable_since(&row).is_none() => {
                return Outcome::Refused(Refusal::StillReachable);
            }
            // Its agent has obeyed after all.
            Grounds::Disobeyed if row.state != State::Reserved => {
                return Outcome::Refused(Refusal::NotReserved);
            }
            Grounds::Unheard | Grounds::Disobeyed => {}
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
        match self.agents.get(&place.agent) {
            None => Err(Refusal::UnknownAgent),
            Some(agent) if agent.drain.is_some() => Err(Refusal::AgentDrained),
            Some(agent) if agent.reach != Reach::Reachable => Err(Refusal::AgentUnreachable),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn report(
        &mut self,
        id: SessionId,
        agent: &AgentId,
        boot: BootId,
        report: Report,
    ) -> Outcome {
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
        let (was, reserved_at) = (row.state.clone(), row.created_at);
        self.learn_of_start(agent, &was, &state, reserved_at);
        self.change(id, |row| {
            row.state = state;
            row.boot = Some(boot);
            row.unlisted_since = None;
        });
        Outcome::Done
    }

    /// An agent that failed a start is remembered for it until one works that was reserved later.
    fn learn_of_start(
        &mut self,
        agent: &AgentId,
        was: &State,
        now: &State,
        reserved_at: Timestamp,
    ) {
        let at = self.now;
        let Some(agent) = self.agents.get_mut(agent) else { return };
        let began = matches!(was, State::Reserved | State::Starting);
        let failed_at = match now {
            State::Ended { reason: EndReason::NeverStarted { .. }, .. } => Some(at),
            State::Running if began && agent.failed_at < Some(reserved_at) => None,
            _ => return,
        };
        if agent.failed_at != failed_at {
            Arc::make_mut(agent).failed_at = failed_at;
        }
    }

    pub(super) fn adopt(&mut self, session: Arc<Session>) -> Outcome {
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

    pub(super) fn unlisted(&mut self, id: SessionId) -> Outcome {
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

    pub(super) fn end(&mut self, id: SessionId, by: Arc<str>) -> Outcome {
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

    pub(super) fn abandon(&mut self, id: SessionId, by: Arc<str>) -> Outcome {
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
