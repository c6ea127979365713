//! What another table, whose claim lost, had acknowledged and this one does not have.
//!
//! Sessions come back by themselves, from their agents' reports. The rest is for a person to do again.

use std::fmt;
use std::sync::Arc;

use crate::{
    AgentId, BrokerId, ConfigVersion, EndReason, SessionId, State, Table, Timestamp, UserName,
};

/// One thing that does not come back by itself; a session that has not yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unhealed {
    /// An agent joined.
    AgentJoined {
        /// The agent.
        agent: AgentId,
        /// Its host's name.
        name: String,
    },
    /// An agent takes no new sessions.
    AgentDrained {
        /// The agent.
        agent: AgentId,
        /// Its host's name.
        name: String,
        /// Who wanted it.
        by: Arc<str>,
    },
    /// A broker joined.
    BrokerJoined {
        /// The broker.
        broker: BrokerId,
        /// Where people reach it.
        url: String,
    },
    /// A broker was removed, and its key withdrawn.
    BrokerRemoved {
        /// The broker.
        broker: BrokerId,
    },
    /// A token to join with was made.
    TokenMade {
        /// When it ends.
        expires: Timestamp,
    },
    /// A configuration was taken.
    Configured(Arc<ConfigVersion>),
    /// This many logins were ended.
    LoginsEnded {
        /// How many.
        count: usize,
    },
    /// A user was logged out everywhere.
    LoggedOut {
        /// Who.
        user: UserName,
    },
    /// A session was ended that still lives.
    Ended {
        /// Which.
        session: SessionId,
        /// Whose it is.
        user: UserName,
        /// By whom.
        by: Arc<str>,
    },
    /// A session is over, and its agent, which was told that this is recorded, does not say so again.
    Over {
        /// Which.
        session: SessionId,
        /// Whose it was.
        user: UserName,
        /// How it ended.
        reason: EndReason,
    },
    /// A session was given up that still counts.
    Abandoned {
        /// Which.
        session: SessionId,
        /// Whose it is.
        user: UserName,
        /// By whom.
        by: Arc<str>,
    },
    /// A session that its agent has not reported here.
    Unreported {
        /// Which.
        session: SessionId,
        /// Whose it is.
        user: UserName,
        /// The agent.
        agent: AgentId,
    },
}

impl Unhealed {
    /// The configuration that is to be applied again, if it is one.
    pub fn config(&self) -> Option<&ConfigVersion> {
        match self {
            Self::Configured(version) => Some(version),
            _ => None,
        }
    }

    /// What kind it is, for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AgentJoined { .. } => "agent-joined",
            Self::AgentDrained { .. } => "agent-drained",
            Self::BrokerJoined { .. } => "broker-joined",
            Self::BrokerRemoved { .. } => "broker-removed",
            Self::TokenMade { .. } => "token-made",
            Self::Configured(_) => "configured",
            Self::LoginsEnded { .. } => "logins-ended",
            Self::LoggedOut { .. } => "logged-out",
            Self::Ended { .. } => "session-ended",
            Self::Over { .. } => "session-over",
            Self::Abandoned { .. } => "session-abandoned",
            Self::Unreported { .. } => "session-unreported",
        }
    }
}

impl fmt::Display for Unhealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AgentJoined { agent, name } => {
                write!(f, "agent {agent} ({name}) joined: let it join again")
            }
            Self::AgentDrained { agent, name, by } => {
                write!(f, "agent {agent} ({name}) was drained by {by}: drain it again")
            }
            Self::BrokerJoined { broker, url } => {
                write!(f, "broker {broker} ({url}) joined: let it join again")
            }
            Self::BrokerRemoved { broker } => {
                write!(f, "broker {broker} was removed: remove it again")
            }
            Self::TokenMade { .. } => f.write_str("a join token was made: make another"),
            Self::Configured(version) => {
                let ConfigVersion { number, by, note, .. } = &**version;
                write!(f, "configuration {number} was taken from {by}")?;
                if !note.is_empty() {
                    write!(f, " ({note})")?;
                }
                f.write_str(": apply it again; abide ha aside --json has its text")
            }
            Self::LoginsEnded { count } => {
                write!(f, "{count} logins were ended, and count again until they run out")
            }
            Self::LoggedOut { user } => {
                write!(f, "{user} was logged out everywhere: to be done again")
            }
            Self::Ended { session, user, by } => {
                write!(f, "session {session} of {user} was ended by {by}, and lives: end it again")
            }
            Self::Over { session, user, reason } => {
                write!(f, "session {session} of {user} is over ({reason}): if it counts on, end it")
            }
            Self::Abandoned { session, user, by } => {
                write!(f, "session {session} of {user} was abandoned by {by}: abandon it again")
            }
            Self::Unreported { session, user, agent } => {
                write!(f, "session {session} of {user} comes back when agent {agent} reports it")
            }
        }
    }
}

impl Table {
    /// What `lower` had acknowledged and this table does not have.
    pub fn unhealed(&self, lower: &Table) -> Vec<Unhealed> {
        let mut all = self.unhealed_servers(lower);
        all.extend(self.unhealed_logins(lower));
        all.extend(self.unhealed_config(lower).map(Unhealed::Configured));
        all.extend(lower.sessions.values().filter_map(|old| {
            let (session, user) = (old.id, old.user.clone());
            let now = self.session(session);
            let lives = now.is_some_and(|now| now.state.is_live());
            match &old.state {
                State::Ending { by } if lives => {
                    let is_ending =
                        now.is_some_and(|now| matches!(now.state, State::Ending { .. }));
                    (!is_ending).then(|| Unhealed::Ended { session, user, by: by.clone() })
                }
                State::Ended { reason: EndReason::Asked { by }, .. } if lives => {
                    Some(Unhealed::Ended { session, user, by: by.clone() })
                }
                State::Ended { reason: EndReason::Abandoned { by }, .. } if lives => {
                    Some(Unhealed::Abandoned { session, user, by: by.clone() })
                }
                State::Ended { reason, .. } if lives => {
                    Some(Unhealed::Over { session, user, reason: reason.clone() })
                }
                State::Starting | State::Running if now.is_none() => {
                    Some(Unhealed::Unreported { session, user, agent: old.agent.clone() })
                }
                _ => None,
            }
        }));
        all
    }

    fn unhealed_servers(&self, lower: &Table) -> Vec<Unhealed> {
        let agents = lower.agents.values().filter(|old| !self.agents.contains_key(&old.id));
        let agents = agents
            .map(|old| Unhealed::AgentJoined { agent: old.id.clone(), name: old.name.clone() });
        let drained = lower.agents.values().filter_map(|old| {
            let plan = old.drain.as_ref()?;
            let is_drained = self.agents.get(&old.id).is_some_and(|it| it.drain.is_some());
            (!is_drained).then(|| Unhealed::AgentDrained {
                agent: old.id.clone(),
                name: old.name.clone(),
                by: plan.by.clone(),
            })
        });
        let brokers = lower.brokers.values().filter(|old| {
            !self.brokers.contains_key(&old.id) && !self.removed.contains_key(&old.id)
        });
        let brokers = brokers.map(|old| Unhealed::BrokerJoined {
            broker: old.id.clone(),
            url: old.public_url.clone(),
        });
        let removed = lower.removed.keys().filter(|old| self.brokers.contains_key(*old));
        let removed = removed.map(|old| Unhealed::BrokerRemoved { broker: old.clone() });
        let tokens = lower
            .join_tokens
            .iter()
            .filter(|(hash, old)| old.expires > self.now && !self.join_tokens.contains_key(*hash));
        let tokens = tokens.map(|(_, old)| Unhealed::TokenMade { expires: old.expires });
        agents.chain(drained).chain(brokers).chain(removed).chain(tokens).collect()
    }

    /// The configuration in force there, unless its text was taken here too. What it replaced there counts no
    /// more than what it replaces here.
    fn unhealed_config(&self, lower: &Table) -> Option<Arc<ConfigVersion>> {
        let old = lower.config();
        let was_taken = old.number == 0 || self.config_history().any(|it| it.text == old.text);
        (!was_taken).then(|| old.clone())
    }

    fn unhealed_logins(&self, lower: &Table) -> Vec<Unhealed> {
        let ended = lower
            .revoked
            .iter()
            .filter(|(jti, until)| **until > self.now && !self.revoked.contains_key(*jti));
        let count = ended.count();
        let out = lower.logged_out.iter().filter(|(user, old)| {
            let now = self.logged_out.get(*user);
            old.until > self.now && now.is_none_or(|now| now.before < old.before)
        });
        let out = out.map(|(user, _)| Unhealed::LoggedOut { user: user.clone() });
        let ended = (count > 0).then_some(Unhealed::LoginsEnded { count });
        ended.into_iter().chain(out).collect()
    }
}
