//! The table: what it holds and how it is read. `apply` changes it.

use std::sync::Arc;

use imbl::ordmap::DiffItem;
use imbl::{OrdMap, OrdSet};

use crate::{
    Agent, AgentId, Broker, BrokerId, ConfigVersion, IdempotencyKey, ProfileName, Reach, Rebuild,
    Refusal, Session, SessionId, State, Timestamp, TokenHash, UserName, Want, WireVersion,
};

/// How long a session that ended stays in the table, milliseconds.
pub const ENDED_KEPT_MS: u64 = 24 * 60 * 60 * 1000;
/// How long a start's key is remembered, milliseconds. No longer than an ended session is, so that a
/// key that is remembered always leads to a session.
pub const KEYS_KEPT_MS: u64 = ENDED_KEPT_MS;

/// The replicated table. Cloning it costs a few pointers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// INVARIANT: never runs backwards.
    pub(crate) now: Timestamp,
    pub(crate) brokers: OrdMap<BrokerId, Arc<Broker>>,
    /// INVARIANT: grows whenever a broker's row comes, changes or goes.
    pub(crate) revision: u64,
    /// Brokers that were removed. Never empties: none comes back under its old id, and sessions that
    /// it started outlive it.
    pub(crate) removed: OrdMap<BrokerId, Removed>,
    pub(crate) agents: OrdMap<AgentId, Arc<Agent>>,
    /// INVARIANT: never lowered.
    pub(crate) generation: u64,
    /// INVARIANT: never lowered; no higher than what every broker reads.
    pub(crate) wire: WireVersion,
    pub(crate) rebuild: Option<Arc<Rebuild>>,
    /// INVARIANT: the last of `configs`, or version 0.
    pub(crate) config: Arc<ConfigVersion>,
    pub(crate) configs: OrdMap<u64, Arc<ConfigVersion>>,
    pub(crate) sessions: OrdMap<SessionId, Arc<Session>>,
    /// INVARIANT: exactly one entry for each session.
    pub(crate) by_user: OrdSet<(UserName, SessionId)>,
    /// INVARIANT: exactly the sessions that are live or superseded.
    pub(crate) by_agent: OrdSet<(AgentId, SessionId)>,
    /// INVARIANT: exactly the sessions whose state is unsettled.
    pub(crate) unsettled: OrdSet<SessionId>,
    pub(crate) starts: OrdMap<StartKey, Start>,
    pub(crate) join_tokens: OrdMap<TokenHash, JoinToken>,
    /// When each revoked token would have ended by itself.
    pub(crate) revoked: OrdMap<[u8; 16], Timestamp>,
    pub(crate) logged_out: OrdMap<UserName, LoggedOut>,
    /// What goes when. INVARIANT: derived from the rest; rebuilt on restoring.
    pub(crate) expiry: OrdSet<(Timestamp, Expiring)>,
}

/// A start's key belongs to its user: two users may choose the same.
pub(crate) type StartKey = (UserName, IdempotencyKey);

/// What a key was used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub session: SessionId,
    /// `None` for an adopted session: its agent's ledger does not say. Any will do then.
    pub want: Option<Want>,
    pub until: Timestamp,
}

/// What is kept of a broker that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Its key's, which is believed no more.
    pub certificate: Arc<str>,
    /// Since when.
    pub at: Timestamp,
}

/// A token to join with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JoinToken {
    pub expires: Timestamp,
    pub admission: Admission,
}

/// Whom a token lets in, and who used it. A repeat by the same machine is granted, for its first
/// answer may be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// One agent.
    Agent(Option<AgentId>),
    /// One broker.
    Broker(Option<BrokerId>),
}

/// A user's logins before this are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LoggedOut {
    pub before: Timestamp,
    /// When the last of them would have ended by itself.
    pub until: Timestamp,
}

/// Something that goes by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Expiring {
    Session(SessionId),
    Start(StartKey),
    JoinToken(TokenHash),
    Revoked([u8; 16]),
    LoggedOut(UserName),
}

impl Table {
    /// The highest time that any command carried.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// All brokers.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<Broker>> {
        self.brokers.values()
    }

    /// Counts the changes of the brokers' rows.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The brokers that were removed.
    pub fn removed(&self) -> impl Iterator<Item = (&BrokerId, &Removed)> {
        self.removed.iter()
    }

    /// Whether a broker was removed.
    pub fn was_removed(&self, broker: &BrokerId) -> bool {
        self.removed.contains_key(broker)
    }

    /// One broker.
    pub fn broker(&self, id: &BrokerId) -> Option<&Arc<Broker>> {
        self.brokers.get(id)
    }

    /// All agents.
    pub fn agents(&self) -> impl Iterator<Item = &Arc<Agent>> {
        self.agents.values()
    }

    /// The agents whose rows are not as in an earlier table, or are not there any more. Costs about as much
    /// as there are such.
    pub fn agents_unlike<'a>(
        &'a self,
        earlier: &'a Table,
    ) -> impl Iterator<Item = (&'a AgentId, Option<&'a Arc<Agent>>)> {
        earlier.agents.diff(&self.agents).map(|item| match item {
            DiffItem::Add(id, agent) => (id, Some(agent)),
            DiffItem::Update { new: (id, agent), .. } => (id, Some(agent)),
            DiffItem::Remove(id, _) => (id, None),
        })
    }

    /// One agent.
    pub fn agent(&self, id: &AgentId) -> Option<&Arc<Agent>> {
        self.agents.get(id)
    }

    /// All sessions, oldest first.
    pub fn sessions(&self) -> impl DoubleEndedIterator<Item = &Arc<Session>> {
        self.sessions.values()
    }

    /// One session.
    pub fn session(&self, id: SessionId) -> Option<&Arc<Session>> {
        self.sessions.get(&id)
    }

    /// A user's sessions, oldest first, ended ones included.
    pub fn sessions_of<'a>(
        &'a self,
        user: &'a UserName,
    ) -> impl DoubleEndedIterator<Item = &'a Arc<Session>> {
        let all = (user.clone(), FIRST)..=(user.clone(), LAST);
        self.by_user.range(all).filter_map(|(_, id)| self.sessions.get(id))
    }

    /// What an agent has or may have: its live sessions and the superseded ones.
    pub fn sessions_on<'a>(&'a self, agent: &AgentId) -> impl Iterator<Item = &'a Arc<Session>> {
        let all = (agent.clone(), FIRST)..=(agent.clone(), LAST);
        self.by_agent.range(all).filter_map(|(_, id)| self.sessions.get(id))
    }

    /// The sessions about which somebody has still to do something, oldest first.
    pub fn unsettled(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.unsettled.iter().filter_map(|id| self.sessions.get(id))
    }

    /// The session that a start with `want` goes back to: the newest one that can be handed out.
    pub fn resumable<'a>(&'a self, user: &'a UserName, want: &Want) -> Option<&'a Arc<Session>> {
        let Want::ResumeOrStart { profile } = want else {
            return None;
        };
        let fits = |name: &ProfileName| profile.as_ref().is_none_or(|wanted| wanted == name);
        self.sessions_of(user)
            .rev()
            .find(|session| session.state.is_resumable() && fits(&session.profile))
    }

    /// The session that a key stands for, if it was used by this user for the same want as far as
    /// that is known.
    ///
    /// # Errors
    /// [`Refusal::KeyReused`] if it was used for another.
    pub fn started_by(
        &self,
        user: &UserName,
        key: &IdempotencyKey,
        want: &Want,
    ) -> Result<Option<SessionId>, Refusal> {
        match self.starts.get(&(user.clone(), key.clone())) {
            None => Ok(None),
            Some(start) if start.want.as_ref().is_none_or(|known| known == want) => {
                Ok(Some(self.successor(start.session)))
            }
            Some(_) => Err(Refusal::KeyReused),
        }
    }

    /// The session itself, or the last one of those that superseded it.
    pub fn successor(&self, mut session: SessionId) -> SessionId {
        while let Some(by) = self.session(session).and_then(|row| row.superseded_by()) {
            session = by;
        }
        session
    }

    /// Since when a session cannot be reached; `None` if it can.
    pub fn unreachable_since(&self, session: &Session) -> Option<Timestamp> {
        match self.agent(&session.agent).map(|agent| agent.reach) {
            Some(Reach::Unreachable { since }) => Some(since),
            Some(Reach::Reachable) => session.unlisted_since,
            None => Some(session.created_at),
        }
    }

    /// Whose logins were ended, and until when they had begun.
    pub fn logged_out(&self) -> impl Iterator<Item = (&UserName, Timestamp)> {
        self.logged_out.iter().map(|(user, out)| (user, out.before))
    }

    /// Whether nobody was logged out between an earlier state of this table and this one. True is
    /// certain, and costs one comparison of pointers.
    pub fn has_same_log_outs(&self, earlier: &Table) -> bool {
        self.logged_out.ptr_eq(&earlier.logged_out)
    }

    /// Whether a login was ended: by itself, or with all of its user's; or it began before the table was
    /// lost, and with it the memory of those that were ended.
    pub fn is_revoked(&self, jti: &[u8; 16], user: &UserName, issued_at: Timestamp) -> bool {
        self.rebuild.as_ref().is_some_and(|rebuild| issued_at <= rebuild.since)
            || self.revoked.contains_key(jti)
            || self.logged_out.get(user).is_some_and(|out| issued_at <= out.before)
    }
}

impl Session {
    pub(crate) fn superseded_by(&self) -> Option<SessionId> {
        match &self.state {
            State::Superseded { by } => Some(*by),
            State::Ended { reason: crate::EndReason::Superseded { by }, .. } => Some(*by),
            _ => None,
        }
    }
}

const FIRST: SessionId = SessionId(uuid::Uuid::nil());
const LAST: SessionId = SessionId(uuid::Uuid::max());
