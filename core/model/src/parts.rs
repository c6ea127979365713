//! The table in parts: what a snapshot is made of, and how a table is put together from them.

use std::sync::Arc;

use crate::table::{Admission, Expiring, JoinToken, LoggedOut, Removed, Start};
use crate::{
    Agent, AgentId, Broker, BrokerId, ConfigVersion, IdempotencyKey, Rebuild, Session, SessionId,
    Table, Timestamp, TokenHash, UserName, Want, WireVersion,
};

/// One part of a table. All of them, in any order that has agents before sessions, are the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The version in which commands are written. The first part: whoever does not read that version reads
    /// no further. Absent from a table of the first version, as it always was.
    Wire(WireVersion),
    /// The table's time.
    Now(Timestamp),
    /// A broker.
    Broker(Arc<Broker>),
    /// How often the brokers' rows changed.
    Revision(u64),
    /// The least generation of commands.
    Generation(u64),
    /// How the table was made anew.
    Rebuild(Arc<Rebuild>),
    /// A version of the configuration.
    Config(Arc<ConfigVersion>),
    /// A broker that was removed.
    Removed(BrokerId, Removed),
    /// An agent. Its count of live sessions is not part of it: it follows from the sessions.
    Agent(Arc<Agent>),
    /// A session.
    Session(Arc<Session>),
    /// A start's key.
    Start {
        /// Whose.
        user: UserName,
        /// The key.
        key: IdempotencyKey,
        /// What it was used for.
        session: SessionId,
        /// What was wanted, if that is known.
        want: Option<Want>,
        /// When it goes.
        until: Timestamp,
    },
    /// A token to join with.
    JoinToken {
        /// The SHA-256 of its secret.
        hash: TokenHash,
        /// When it goes.
        expires: Timestamp,
        /// Whom it lets in, and who used it.
        admission: Admission,
    },
    /// A login that was ended.
    Revoked {
        /// The token's name.
        jti: [u8; 16],
        /// When it goes.
        until: Timestamp,
    },
    /// A user's logins that were ended.
    LoggedOut {
        /// Whose.
        user: UserName,
        /// Those that began until then.
        before: Timestamp,
        /// When it goes.
        until: Timestamp,
    },
}

/// Why parts do not make a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// A session's agent is not among them, or comes after it.
    #[error("session {session} is on agent {agent}, which is not known")]
    NoAgent {
        /// The session.
        session: SessionId,
        /// The agent.
        agent: AgentId,
    },
}

impl Table {
    /// The table's parts, agents before sessions.
    pub fn parts(&self) -> impl Iterator<Item = Part> + '_ {
        let starts = self.starts.iter().map(|((user, key), start)| Part::Start {
            user: user.clone(),
            key: key.clone(),
            session: start.session,
            want: start.want.clone(),
            until: start.until,
        });
        let tokens = self.join_tokens.iter().map(|(hash, token)| Part::JoinToken {
            hash: *hash,
            expires: token.expires,
            admission: token.admission.clone(),
        });
        let revoked =
            self.revoked.iter().map(|(jti, until)| Part::Revoked { jti: *jti, until: *until });
        let logged_out = self.logged_out.iter().map(|(user, out)| Part::LoggedOut {
            user: user.clone(),
            before: out.before,
            until: out.until,
        });
        let removed = self.removed.iter().map(|(id, it)| Part::Removed(id.clone(), it.clone()));
        let numbers =
            [Part::Now(self.now), Part::Revision(self.revision), Part::Generation(self.generation)];
        let wire = (self.wire > WireVersion::FIRST).then_some(Part::Wire(self.wire));
        wire.into_iter()
            .chain(numbers)
            .chain(removed)
            .chain(self.rebuild.clone().map(Part::Rebuild))
            .chain(self.configs.values().cloned().map(Part::Config))
            .chain(self.brokers.values().cloned().map(Part::Broker))
            .chain(self.agents.values().cloned().map(Part::Agent))
            .chain(self.sessions.values().cloned().map(Part::Session))
            .chain(starts)
            .chain(tokens)
            .chain(revoked)
            .chain(logged_out)
    }

    /// Adds a part.
    ///
    /// # Errors
    /// [`PartError`] when it does not fit to the parts before.
    pub fn add(&mut self, part: Part) -> Result<(), PartError> {
        match part {
            Part::Wire(wire) => self.wire = wire,
            Part::Now(now) => self.now = now,
            Part::Broker(broker) => drop(self.brokers.insert(broker.id.clone(), broker)),
            Part::Revision(revision) => self.revision = revision,
            Part::Generation(generation) => self.generation = generation,
            Part::Config(version) => self.keep_config(version),
            Part::Rebuild(rebuild) => self.rebuild = Some(rebuild),
            Part::Removed(id, removed) => drop(self.removed.insert(id, removed)),
            Part::Agent(mut agent) => {
                Arc::make_mut(&mut agent).live = 0;
                self.agents.insert(agent.id.clone(), agent);
            }
            Part::Session(session) => {
                if !self.agents.contains_key(&session.agent) {
                    let agent = session.agent.clone();
                    return Err(PartError::NoAgent { session: session.id, agent });
                }
                self.insert(Arc::unwrap_or_clone(session));
            }
            Part::Start { user, key, session, want, until } => {
                // By the texts of the session's row, as it was before the table was taken apart.
                let key = match self.sessions.get(&session) {
                    Some(row) if row.user == user && row.key == key => {
                        (row.user.clone(), row.key.clone())
                    }
                    _ => (user, key),
                };
                self.expiry.insert((until, Expiring::Start(key.clone())));
                self.starts.insert(key, Start { session, want, until });
            }
            Part::JoinToken { hash, expires, admission } => {
                self.expiry.insert((expires, Expiring::JoinToken(hash)));
                self.join_tokens.insert(hash, JoinToken { expires, admission });
            }
            Part::Revoked { jti, until } => {
                self.expiry.insert((until, Expiring::Revoked(jti)));
                self.revoked.insert(jti, until);
            }
            Part::LoggedOut { user, before, until } => {
                self.expiry.insert((until, Expiring::LoggedOut(user.clone())));
                self.logged_out.insert(user, LoggedOut { before, until });
            }
        }
        Ok(())
    }
}
