//! Snapshots: the table's parts.

use std::sync::Arc;

use abide_model::{
    Admission, Agent, ConfigVersion, Part, Placing, Reach, Rebuild, Removed, Session, State,
    Timestamp,
};

use super::shared::{ConvertError, bytes, need, parse, pool, raw_id, session_id, since, spoken};
use crate::agent;
use crate::table::{self, part::Part as Wire, session::State as WireState};

impl From<&Part> for table::Part {
    fn from(part: &Part) -> Self {
        Self { part: Some(part.into()) }
    }
}

impl From<&Part> for Wire {
    fn from(part: &Part) -> Self {
        match part {
            Part::Wire(wire) => Self::Wire(wire.0),
            Part::Now(now) => Self::NowMs(now.0),
            Part::Broker(broker) => Self::Broker((&**broker).into()),
            Part::Revision(revision) => Self::Revision(*revision),
            Part::Config(version) => Self::Config((&**version).into()),
            Part::Generation(generation) => Self::Generation(*generation),
            Part::Rebuild(rebuild) => Self::Rebuild((&**rebuild).into()),
            Part::Removed(broker, it) => Self::Removed(table::RemovedBroker {
                broker: broker.to_string(),
                certificate: it.certificate.to_string(),
                at_ms: it.at.0,
            }),
            Part::Agent(agent) => Self::Agent((&**agent).into()),
            Part::Session(session) => Self::Session((&**session).into()),
            Part::Start { user, key, session, want, until } => Self::Start(table::StartKey {
                user: user.to_string(),
                key: key.to_string(),
                session: raw_id(*session),
                want: want.as_ref().map(Into::into),
                until_ms: until.0,
            }),
            Part::JoinToken { hash, expires, admission } => Self::JoinToken(table::JoinToken {
                hash: hash.to_vec(),
                expires_ms: expires.0,
                used_by: match admission {
                    Admission::Agent(user) => user.as_ref().map(ToString::to_string),
                    Admission::Broker(user) => user.as_ref().map(ToString::to_string),
                }
                .unwrap_or_default(),
                broker: matches!(admission, Admission::Broker(_)),
            }),
            Part::Revoked { jti, until } => {
                Self::Revoked(table::Revoked { jti: jti.to_vec(), until_ms: until.0 })
            }
            Part::LoggedOut { user, before, until } => Self::LoggedOut(table::LoggedOut {
                user: user.to_string(),
                before_ms: before.0,
                until_ms: until.0,
            }),
        }
    }
}

impl TryFrom<Wire> for Part {
    type Error = ConvertError;

    fn try_from(part: Wire) -> Result<Self, ConvertError> {
        Ok(match part {
            Wire::Wire(wire) => Self::Wire(spoken(wire)?),
            Wire::NowMs(now) => Self::Now(Timestamp(now)),
            Wire::Broker(broker) => Self::Broker(Arc::new(broker.try_into()?)),
            Wire::Revision(revision) => Self::Revision(revision),
            Wire::Config(version) => Self::Config(Arc::new(version.into())),
            Wire::Generation(generation) => Self::Generation(generation),
            Wire::Rebuild(rebuild) => Self::Rebuild(Arc::new(rebuild.try_into()?)),
            Wire::Removed(it) => {
                let removed =
                    Removed { certificate: it.certificate.into(), at: Timestamp(it.at_ms) };
                Self::Removed(parse("broker", &it.broker)?, removed)
            }
            Wire::Agent(agent) => Self::Agent(Arc::new(agent.try_into()?)),
            Wire::Session(session) => Self::Session(Arc::new(session.try_into()?)),
            Wire::Start(it) => Self::Start {
                user: parse("user", &it.user)?,
                key: parse("key", &it.key)?,
                session: session_id("session", &it.session)?,
                want: it.want.map(TryInto::try_into).transpose()?,
                until: Timestamp(it.until_ms),
            },
            Wire::JoinToken(it) => Self::JoinToken {
                hash: bytes("token hash", &it.hash)?,
                expires: Timestamp(it.expires_ms),
                admission: match (it.broker, it.used_by.as_str()) {
                    (false, "") => Admission::Agent(None),
                    (false, agent) => Admission::Agent(Some(parse("agent", agent)?)),
                    (true, "") => Admission::Broker(None),
                    (true, broker) => Admission::Broker(Some(parse("broker", broker)?)),
                },
            },
            Wire::Revoked(it) => {
                Self::Revoked { jti: bytes("token id", &it.jti)?, until: Timestamp(it.until_ms) }
            }
            Wire::LoggedOut(it) => Self::LoggedOut {
                user: parse("user", &it.user)?,
                before: Timestamp(it.before_ms),
                until: Timestamp(it.until_ms),
            },
            Wire::Last(_) => return Err(ConvertError::Missing("a part of the table")),
        })
    }
}

impl From<&ConfigVersion> for table::ConfigVersion {
    fn from(version: &ConfigVersion) -> Self {
        let ConfigVersion { number, text, at, by, note } = version;
        Self {
            number: *number,
            text: text.to_string(),
            at_ms: at.0,
            by: by.to_string(),
            note: note.to_string(),
        }
    }
}

impl From<table::ConfigVersion> for ConfigVersion {
    fn from(version: table::ConfigVersion) -> Self {
        let table::ConfigVersion { number, text, at_ms, by, note } = version;
        let at = Timestamp(at_ms);
        Self { number, text: text.into(), at, by: by.into(), note: note.into() }
    }
}

impl From<&Rebuild> for table::Rebuild {
    fn from(rebuild: &Rebuild) -> Self {
        let Rebuild { since, expected, reported, keys, placing } = rebuild;
        Self {
            since_ms: since.0,
            expected: expected.iter().map(ToString::to_string).collect(),
            reported: reported.iter().map(ToString::to_string).collect(),
            keys: keys.iter().map(ToString::to_string).collect(),
            placing_at_ms: placing.as_ref().map(|it| it.at.0),
            placing_by: placing.as_ref().map(|it| it.by.to_string()).unwrap_or_default(),
        }
    }
}

impl TryFrom<table::Rebuild> for Rebuild {
    type Error = ConvertError;

    fn try_from(rebuild: table::Rebuild) -> Result<Self, ConvertError> {
        let reported = rebuild.reported.iter().map(|agent| parse("agent", agent));
        let by = rebuild.placing_by.into();
        Ok(Self {
            since: Timestamp(rebuild.since_ms),
            expected: rebuild.expected.into_iter().map(Arc::from).collect(),
            reported: reported.collect::<Result<_, _>>()?,
            keys: rebuild.keys.into_iter().map(Arc::from).collect(),
            placing: rebuild.placing_at_ms.map(|at| Placing { at: Timestamp(at), by }),
        })
    }
}

impl From<&Agent> for table::Agent {
    fn from(agent: &Agent) -> Self {
        Self {
            id: agent.id.to_string(),
            name: agent.name.clone(),
            joined_at_ms: agent.joined_at.0,
            facts: agent.facts.as_deref().map(Into::into),
            unreachable_since_ms: match agent.reach {
                Reach::Reachable => None,
                Reach::Unreachable { since } => Some(since.0),
            },
            drain: agent.drain.as_deref().map(Into::into),
            failed_at_ms: agent.failed_at.map(|at| at.0),
        }
    }
}

impl TryFrom<table::Agent> for Agent {
    type Error = ConvertError;

    fn try_from(agent: table::Agent) -> Result<Self, ConvertError> {
        let (id, joined_at) = (parse("agent", &agent.id)?, Timestamp(agent.joined_at_ms));
        Ok(Self {
            facts: agent.facts.map(TryInto::try_into).transpose()?,
            drain: agent.drain.map(Into::into),
            failed_at: since(agent.failed_at_ms),
            reach: match agent.unreachable_since_ms {
                None => Reach::Reachable,
                Some(since) => Reach::Unreachable { since: Timestamp(since) },
            },
            ..Self::new(id, agent.name, joined_at)
        })
    }
}

impl From<&Session> for table::Session {
    fn from(session: &Session) -> Self {
        Self {
            id: raw_id(session.id),
            user: session.user.to_string(),
            agent: session.agent.to_string(),
            profile: session.profile.to_string(),
            key: session.key.to_string(),
            view_key: session.view_key.to_string(),
            created_at_ms: session.created_at.0,
            boot: session.boot.as_ref().map(ToString::to_string).unwrap_or_default(),
            state: Some((&session.state).into()),
            unlisted_since_ms: session.unlisted_since.map(|since| since.0),
            pool: session.pool.as_ref().map_or_else(String::new, ToString::to_string),
        }
    }
}

impl TryFrom<table::Session> for Session {
    type Error = ConvertError;

    fn try_from(session: table::Session) -> Result<Self, ConvertError> {
        Ok(Self {
            id: session_id("session", &session.id)?,
            user: parse("user", &session.user)?,
            agent: parse("agent", &session.agent)?,
            profile: parse("profile", &session.profile)?,
            pool: pool(&session.pool)?,
            key: parse("key", &session.key)?,
            view_key: parse("view key", &session.view_key)?,
            created_at: Timestamp(session.created_at_ms),
            boot: match session.boot.as_str() {
                "" => None,
                boot => Some(parse("boot", boot)?),
            },
            state: need("state", session.state)?.try_into()?,
            unlisted_since: since(session.unlisted_since_ms),
        })
    }
}

impl From<&State> for WireState {
    fn from(state: &State) -> Self {
        match state {
            State::Reserved => Self::Reserved(table::Reserved {}),
            State::Starting => Self::Starting(agent::Starting {}),
            State::Running => Self::Running(agent::Running {}),
            State::Ending { by } => Self::Ending(table::Ending { by: by.to_string() }),
            State::Superseded { by } => Self::SupersededBy(raw_id(*by)),
            State::Ended { at, reason } => {
                Self::Ended(agent::Ended { at_ms: at.0, reason: Some(reason.into()) })
            }
        }
    }
}

impl TryFrom<WireState> for State {
    type Error = ConvertError;

    fn try_from(state: WireState) -> Result<Self, ConvertError> {
        Ok(match state {
            WireState::Reserved(_) => Self::Reserved,
            WireState::Starting(_) => Self::Starting,
            WireState::Running(_) => Self::Running,
            WireState::Ending(it) => Self::Ending { by: it.by.into() },
            WireState::SupersededBy(raw) => Self::Superseded { by: session_id("session", &raw)? },
            WireState::Ended(it) => Self::Ended {
                at: Timestamp(it.at_ms),
                reason: need("end reason", it.reason)?.try_into()?,
            },
        })
    }
}
