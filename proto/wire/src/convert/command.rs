//! Commands.

use std::sync::Arc;

use abide_model::{Change, Command, Grounds, Joins, Place, Report, Timestamp};

use super::shared::{ConvertError, bytes, need, parse, pool, raw_id, session_id, spoken};
use crate::agent;
use crate::table::{self, command::Change as Wire, report::Report as WireReport};

impl From<&Command> for table::Command {
    fn from(command: &Command) -> Self {
        Self { at_ms: command.at.0, change: Some(change(&command.change)) }
    }
}

fn change(change: &Change) -> Wire {
    match change {
        Change::PutBroker(broker) => Wire::PutBroker(broker.into()),
        Change::AdmitBroker { hash, broker } => Wire::AdmitBroker(table::AdmitBroker {
            hash: hash.to_vec(),
            broker: Some(broker.into()),
        }),
        Change::BeginRebuild => Wire::BeginRebuild(table::BeginRebuild {}),
        Change::DoubtTable { generation } => Wire::DoubtTable(*generation),
        Change::ExpectAgents { agents } => Wire::ExpectAgents(table::ExpectAgents {
            agents: agents.iter().map(ToString::to_string).collect(),
        }),
        Change::RestoreAgent { agent, name } => {
            Wire::RestoreAgent(table::RestoreAgent { agent: agent.to_string(), name: name.clone() })
        }
        Change::RestoreKey { broker, certificate, removed_at } => {
            Wire::RestoreKey(table::RestoreKey {
                broker: broker.to_string(),
                certificate: certificate.to_string(),
                removed_at_ms: removed_at.map(|at| at.0),
            })
        }
        Change::AgentRebuilt { agent } => Wire::AgentRebuilt(agent.to_string()),
        Change::PlaceAgain { by } => Wire::PlaceAgain(by.to_string()),
        Change::RaiseGeneration { to } => Wire::RaiseGeneration(*to),
        Change::RaiseWire { to } => Wire::RaiseWire(to.0),
        Change::PassTime => Wire::PassTime(table::PassTime {}),
        Change::RemoveBroker { broker } => Wire::RemoveBroker(broker.to_string()),
        Change::SetConfig { base, text, by, note } => Wire::SetConfig(table::SetConfig {
            base: *base,
            text: text.to_string(),
            by: by.to_string(),
            note: note.to_string(),
        }),
        Change::AddJoinToken { hash, expires, joins } => Wire::AddJoinToken(table::JoinToken {
            hash: hash.to_vec(),
            expires_ms: expires.0,
            used_by: String::new(),
            broker: *joins == Joins::Broker,
        }),
        Change::AdmitAgent { hash, agent, name } => Wire::AdmitAgent(table::AdmitAgent {
            hash: hash.to_vec(),
            agent: agent.to_string(),
            name: name.clone(),
        }),
        Change::AgentHeard { agent, facts } => Wire::AgentHeard(table::AgentHeard {
            agent: agent.to_string(),
            facts: Some((&**facts).into()),
        }),
        Change::AgentUnheard { agent, since } => {
            Wire::AgentUnheard(table::AgentUnheard { agent: agent.to_string(), since_ms: since.0 })
        }
        Change::Drain { agent, plan } => Wire::DrainAgent(table::DrainAgent {
            agent: agent.to_string(),
            plan: plan.as_deref().map(Into::into),
        }),
        Change::Reserve { place, user, profile, pool, key, want } => {
            Wire::Reserve(table::Reserve {
                pool: pool.as_ref().map_or_else(String::new, ToString::to_string),
                place: Some(place.into()),
                user: user.to_string(),
                profile: profile.to_string(),
                key: key.to_string(),
                want: Some(want.into()),
            })
        }
        Change::Resume { session, user, key, want } => Wire::Resume(table::Resume {
            session: raw_id(*session),
            user: user.to_string(),
            key: key.to_string(),
            want: Some(want.into()),
        }),
        Change::Supersede { old, place, grounds } => Wire::Supersede(table::Supersede {
            old: raw_id(*old),
            place: Some(place.into()),
            disobeyed: *grounds == Grounds::Disobeyed,
        }),
        Change::Report { session, agent, boot, report } => Wire::Report(table::Report {
            session: raw_id(*session),
            agent: agent.to_string(),
            boot: boot.to_string(),
            report: Some(report.into()),
        }),
        Change::Adopt(session) => Wire::Adopt((&**session).into()),
        Change::Unlisted { session } => {
            Wire::Unlisted(table::Unlisted { session: raw_id(*session) })
        }
        Change::End { session, by } => {
            Wire::End(table::End { session: raw_id(*session), by: by.to_string() })
        }
        Change::Abandon { session, by } => {
            Wire::Abandon(table::Abandon { session: raw_id(*session), by: by.to_string() })
        }
        Change::RevokeToken { jti, until } => {
            Wire::RevokeToken(table::Revoked { jti: jti.to_vec(), until_ms: until.0 })
        }
        Change::LogOutEverywhere { user, until } => {
            Wire::LogOutEverywhere(table::LogOut { user: user.to_string(), until_ms: until.0 })
        }
    }
}

impl TryFrom<table::Command> for Command {
    type Error = ConvertError;

    fn try_from(command: table::Command) -> Result<Self, ConvertError> {
        let change = match need("change", command.change)? {
            Wire::PutBroker(broker) => Change::PutBroker(broker.try_into()?),
            Wire::AdmitBroker(it) => Change::AdmitBroker {
                hash: bytes("token hash", &it.hash)?,
                broker: need("broker", it.broker)?.try_into()?,
            },
            Wire::BeginRebuild(_) => Change::BeginRebuild,
            Wire::DoubtTable(generation) => Change::DoubtTable { generation },
            Wire::ExpectAgents(it) => {
                Change::ExpectAgents { agents: it.agents.into_iter().map(Into::into).collect() }
            }
            Wire::RestoreAgent(it) => {
                Change::RestoreAgent { agent: parse("agent", &it.agent)?, name: it.name }
            }
            Wire::RestoreKey(it) => Change::RestoreKey {
                broker: parse("broker", &it.broker)?,
                certificate: it.certificate.into(),
                removed_at: it.removed_at_ms.map(Timestamp),
            },
            Wire::AgentRebuilt(agent) => Change::AgentRebuilt { agent: parse("agent", &agent)? },
            Wire::PlaceAgain(by) => Change::PlaceAgain { by: by.into() },
            Wire::PassTime(_) => Change::PassTime,
            Wire::RaiseGeneration(to) => Change::RaiseGeneration { to },
            Wire::RaiseWire(to) => Change::RaiseWire { to: spoken(to)? },
            Wire::RemoveBroker(broker) => {
                Change::RemoveBroker { broker: parse("broker", &broker)? }
            }
            Wire::SetConfig(it) => Change::SetConfig {
                base: it.base,
                text: it.text.into(),
                by: it.by.into(),
                note: it.note.into(),
            },
            Wire::AddJoinToken(it) => Change::AddJoinToken {
                hash: bytes("token hash", &it.hash)?,
                expires: Timestamp(it.expires_ms),
                joins: if it.broker { Joins::Broker } else { Joins::Agent },
            },
            Wire::AdmitAgent(it) => Change::AdmitAgent {
                hash: bytes("token hash", &it.hash)?,
                agent: parse("agent", &it.agent)?,
                name: it.name,
            },
            Wire::AgentHeard(it) => Change::AgentHeard {
                agent: parse("agent", &it.agent)?,
                facts: need("facts", it.facts)?.try_into()?,
            },
            Wire::AgentUnheard(it) => Change::AgentUnheard {
                agent: parse("agent", &it.agent)?,
                since: Timestamp(it.since_ms),
            },
            Wire::DrainAgent(it) => {
                Change::Drain { agent: parse("agent", &it.agent)?, plan: it.plan.map(Into::into) }
            }
            Wire::Reserve(it) => Change::Reserve {
                place: need("place", it.place)?.try_into()?,
                user: parse("user", &it.user)?,
                profile: parse("profile", &it.profile)?,
                pool: pool(&it.pool)?,
                key: parse("key", &it.key)?,
                want: need("want", it.want)?.try_into()?,
            },
            Wire::Resume(it) => Change::Resume {
                session: session_id("session", &it.session)?,
                user: parse("user", &it.user)?,
                key: parse("key", &it.key)?,
                want: need("want", it.want)?.try_into()?,
            },
            Wire::Supersede(it) => Change::Supersede {
                old: session_id("session", &it.old)?,
                place: need("place", it.place)?.try_into()?,
                grounds: if it.disobeyed { Grounds::Disobeyed } else { Grounds::Unheard },
            },
            Wire::Report(it) => Change::Report {
                session: session_id("session", &it.session)?,
                agent: parse("agent", &it.agent)?,
                boot: parse("boot", &it.boot)?,
                report: need("report", it.report)?.try_into()?,
            },
            Wire::Adopt(session) => Change::Adopt(Arc::new(session.try_into()?)),
            Wire::Unlisted(it) => Change::Unlisted { session: session_id("session", &it.session)? },
            Wire::End(it) => {
                Change::End { session: session_id("session", &it.session)?, by: it.by.into() }
            }
            Wire::Abandon(it) => {
                Change::Abandon { session: session_id("session", &it.session)?, by: it.by.into() }
            }
            Wire::RevokeToken(it) => Change::RevokeToken {
                jti: bytes("token id", &it.jti)?,
                until: Timestamp(it.until_ms),
            },
            Wire::LogOutEverywhere(it) => Change::LogOutEverywhere {
                user: parse("user", &it.user)?,
                until: Timestamp(it.until_ms),
            },
        };
        Ok(Self { at: Timestamp(command.at_ms), change })
    }
}

impl From<&Place> for table::Place {
    fn from(place: &Place) -> Self {
        Self {
            session: raw_id(place.session),
            agent: place.agent.to_string(),
            view_key: place.view_key.to_string(),
        }
    }
}

impl TryFrom<table::Place> for Place {
    type Error = ConvertError;

    fn try_from(place: table::Place) -> Result<Self, ConvertError> {
        Ok(Self {
            session: session_id("session", &place.session)?,
            agent: parse("agent", &place.agent)?,
            view_key: parse("view key", &place.view_key)?,
        })
    }
}

impl From<&Report> for WireReport {
    fn from(report: &Report) -> Self {
        match report {
            Report::Starting => Self::Starting(agent::Starting {}),
            Report::Running { ever_attached } => {
                Self::Running(table::RunningReport { ever_attached: *ever_attached })
            }
            Report::Ending => Self::Ending(agent::Ending {}),
            Report::Ended { reason } => Self::Ended(reason.into()),
            Report::Cancelled => Self::Cancelled(agent::Cancelled {}),
        }
    }
}

impl TryFrom<WireReport> for Report {
    type Error = ConvertError;

    fn try_from(report: WireReport) -> Result<Self, ConvertError> {
        Ok(match report {
            WireReport::Starting(_) => Self::Starting,
            WireReport::Running(it) => Self::Running { ever_attached: it.ever_attached },
            WireReport::Ending(_) => Self::Ending,
            WireReport::Ended(reason) => Self::Ended { reason: reason.try_into()? },
            WireReport::Cancelled(_) => Self::Cancelled,
        })
    }
}
