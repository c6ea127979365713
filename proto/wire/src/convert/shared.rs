//! What commands, snapshots and the agents' reports have in common.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use abide_model::{
    AgentFacts, AtDeadline, Broker, Drain, EndReason, Fence, Label, PoolName, Profile, Report,
    SessionId, Timestamp, Timing, Want, WireVersion,
};

use crate::version::SPOKEN;
use crate::{agent, table};

/// A message that this version does not understand.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// Written by a newer build.
    #[error(
        "it is of wire version {}, and this Abide speaks {} to {}",
        found.map_or("a later one".to_owned(), |it| it.to_string()), SPOKEN.start(), SPOKEN.end()
    )]
    Version {
        /// Which version it is of, if that can be told.
        found: Option<WireVersion>,
    },
    /// No message at all.
    #[error("it is damaged")]
    Bytes(#[from] prost::DecodeError),
    /// A field that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field holds what it must not.
    #[error("{field} is not valid")]
    Invalid {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A version that this build speaks.
pub(super) fn spoken(version: u32) -> Result<WireVersion, ConvertError> {
    let version = WireVersion(version);
    match SPOKEN.contains(&version) {
        true => Ok(version),
        false => Err(ConvertError::Version { found: Some(version) }),
    }
}

pub(super) fn need<T>(field: &'static str, value: Option<T>) -> Result<T, ConvertError> {
    value.ok_or(ConvertError::Missing(field))
}

pub(super) fn parse<T>(field: &'static str, text: &str) -> Result<T, ConvertError>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    text.parse().map_err(|cause| ConvertError::Invalid { field, cause: Box::new(cause) })
}

pub(super) fn bytes<const N: usize>(
    field: &'static str,
    bytes: &[u8],
) -> Result<[u8; N], ConvertError> {
    bytes.try_into().map_err(|cause| ConvertError::Invalid { field, cause: Box::new(cause) })
}

pub(super) fn session_id(field: &'static str, raw: &[u8]) -> Result<SessionId, ConvertError> {
    Ok(SessionId(uuid::Uuid::from_bytes(bytes(field, raw)?)))
}

pub(super) fn raw_id(session: SessionId) -> Vec<u8> {
    session.0.as_bytes().to_vec()
}

impl From<Fence> for agent::Fence {
    fn from(fence: Fence) -> Self {
        let Fence { generation, claimant, term, leader } = fence;
        Self { generation, claimant, term, leader }
    }
}

impl From<agent::Fence> for Fence {
    fn from(fence: agent::Fence) -> Self {
        let agent::Fence { generation, claimant, term, leader } = fence;
        Self { generation, claimant, term, leader }
    }
}

impl From<&Profile> for agent::Profile {
    fn from(profile: &Profile) -> Self {
        Self { name: profile.name.to_string(), title: profile.title.clone() }
    }
}

impl TryFrom<agent::Profile> for Profile {
    type Error = ConvertError;

    fn try_from(profile: agent::Profile) -> Result<Self, ConvertError> {
        Ok(Self { name: parse("profile", &profile.name)?, title: profile.title })
    }
}

impl From<&EndReason> for agent::EndReason {
    fn from(reason: &EndReason) -> Self {
        use agent::end_reason::Reason;
        let reason = match reason {
            EndReason::LoggedOut => Reason::LoggedOut(agent::LoggedOut {}),
            EndReason::Crashed { detail } => {
                Reason::Crashed(agent::Crashed { detail: detail.to_string() })
            }
            EndReason::Asked { by } => Reason::Asked(agent::Asked { by: by.to_string() }),
            EndReason::NeverStarted { detail } => {
                Reason::NeverStarted(agent::NeverStarted { detail: detail.to_string() })
            }
            EndReason::LostToBoot { was, now } => {
                Reason::LostToBoot(agent::LostToBoot { was: was.to_string(), now: now.to_string() })
            }
            EndReason::LostKeeper { pid } => Reason::LostKeeper(agent::LostKeeper { pid: *pid }),
            EndReason::HostShutDown => Reason::HostShutDown(agent::HostShutDown {}),
            EndReason::Abandoned { by } => {
                Reason::Abandoned(agent::Abandoned { by: by.to_string() })
            }
            EndReason::Superseded { by } => {
                Reason::Superseded(agent::Superseded { by: by.to_string() })
            }
            EndReason::Cancelled => Reason::Cancelled(agent::ReservationCancelled {}),
        };
        Self { reason: Some(reason) }
    }
}

impl TryFrom<agent::EndReason> for EndReason {
    type Error = ConvertError;

    fn try_from(reason: agent::EndReason) -> Result<Self, ConvertError> {
        use agent::end_reason::Reason;
        Ok(match need("end reason", reason.reason)? {
            Reason::LoggedOut(_) => Self::LoggedOut,
            Reason::Crashed(it) => Self::Crashed { detail: it.detail.into() },
            Reason::Asked(it) => Self::Asked { by: it.by.into() },
            Reason::NeverStarted(it) => Self::NeverStarted { detail: it.detail.into() },
            Reason::LostToBoot(it) => {
                Self::LostToBoot { was: parse("boot", &it.was)?, now: parse("boot", &it.now)? }
            }
            Reason::LostKeeper(it) => Self::LostKeeper { pid: it.pid },
            Reason::HostShutDown(_) => Self::HostShutDown,
            Reason::Abandoned(it) => Self::Abandoned { by: it.by.into() },
            Reason::Superseded(it) => Self::Superseded { by: parse("session", &it.by)? },
            Reason::Cancelled(_) => Self::Cancelled,
        })
    }
}

/// The longest text that is taken from an agent, bytes. It goes into the log, and into each snapshot.
const AGENT_TEXT: usize = 1024;

/// What a ledger's row says of its session. Texts are cut to a kilobyte.
///
/// # Errors
/// It says nothing that this version understands, or that an agent can know.
pub fn report_of(row: &agent::LedgerRow) -> Result<Report, ConvertError> {
    use agent::ledger_row::State;
    Ok(match need("state", row.state.as_ref())? {
        State::Starting(_) => Report::Starting,
        State::Running(_) => Report::Running { ever_attached: row.ever_attached },
        State::Ending(_) => Report::Ending,
        State::Ended(ended) => {
            let reason = need("end reason", ended.reason.clone())?.try_into()?;
            Report::Ended { reason: agents_reason(reason)? }
        }
        State::Cancelled(_) => Report::Cancelled,
    })
}

fn agents_reason(reason: EndReason) -> Result<EndReason, ConvertError> {
    let cut = |text: Arc<str>| match text.len() > AGENT_TEXT {
        true => text[..text.floor_char_boundary(AGENT_TEXT)].into(),
        false => text,
    };
    Ok(match reason {
        EndReason::Crashed { detail } => EndReason::Crashed { detail: cut(detail) },
        EndReason::NeverStarted { detail } => EndReason::NeverStarted { detail: cut(detail) },
        EndReason::Asked { by } => EndReason::Asked { by: cut(by) },
        reason if reason.is_agents() => reason,
        reason => {
            let cause = format!("{reason}: that is for brokers to say").into();
            return Err(ConvertError::Invalid { field: "end reason", cause });
        }
    })
}

impl From<&Broker> for table::Broker {
    fn from(broker: &Broker) -> Self {
        Self {
            id: broker.id.to_string(),
            public_url: broker.public_url.clone(),
            agent_address: broker.agent_address.clone(),
            certificate: broker.certificate.clone(),
            timing: match broker.timing {
                Timing::Lan => table::Timing::Lan.into(),
                Timing::Slow => table::Timing::Slow.into(),
            },
        }
    }
}

impl TryFrom<table::Broker> for Broker {
    type Error = ConvertError;

    fn try_from(broker: table::Broker) -> Result<Self, ConvertError> {
        let invalid = |cause| ConvertError::Invalid { field: "timing", cause: Box::new(cause) };
        let timing = match table::Timing::try_from(broker.timing).map_err(invalid)? {
            table::Timing::Lan => Timing::Lan,
            table::Timing::Slow => Timing::Slow,
        };
        Ok(Self {
            timing,
            id: parse("broker", &broker.id)?,
            public_url: broker.public_url,
            agent_address: broker.agent_address,
            certificate: broker.certificate,
        })
    }
}

impl From<&AgentFacts> for table::AgentFacts {
    fn from(facts: &AgentFacts) -> Self {
        Self {
            boot: facts.boot.to_string(),
            public_url: facts.public_url.clone(),
            weight: facts.weight,
            profiles: facts.profiles.iter().map(Into::into).collect(),
            labels: facts.labels.iter().map(ToString::to_string).collect(),
            max_sessions: facts.max_sessions,
        }
    }
}

impl TryFrom<table::AgentFacts> for Arc<AgentFacts> {
    type Error = ConvertError;

    fn try_from(facts: table::AgentFacts) -> Result<Self, ConvertError> {
        Ok(Arc::new(AgentFacts {
            boot: parse("boot", &facts.boot)?,
            public_url: facts.public_url,
            weight: facts.weight,
            profiles: facts
                .profiles
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
            labels: labels(&facts.labels)?,
            max_sessions: facts.max_sessions,
        }))
    }
}

/// What an agent has, for profiles that require it.
///
/// # Errors
/// One of them is no label.
pub fn labels(texts: &[String]) -> Result<BTreeSet<Label>, ConvertError> {
    texts.iter().map(|text| parse("label", text)).collect()
}

impl From<&Drain> for table::Drain {
    fn from(drain: &Drain) -> Self {
        let Drain { by, since, deadline, message, then } = drain;
        Self {
            by: by.to_string(),
            since_ms: since.0,
            deadline_ms: deadline.map(|at| at.0),
            message: message.to_string(),
            end: *then == AtDeadline::End,
        }
    }
}

impl From<table::Drain> for Arc<Drain> {
    fn from(drain: table::Drain) -> Self {
        Arc::new(Drain {
            by: drain.by.into(),
            since: Timestamp(drain.since_ms),
            deadline: since(drain.deadline_ms),
            message: drain.message.into(),
            then: if drain.end { AtDeadline::End } else { AtDeadline::Keep },
        })
    }
}

impl From<&Want> for table::Want {
    fn from(want: &Want) -> Self {
        match want {
            Want::Start => Self { start: true, profile: String::new() },
            Want::ResumeOrStart { profile } => Self {
                start: false,
                profile: profile.as_ref().map(ToString::to_string).unwrap_or_default(),
            },
        }
    }
}

impl TryFrom<table::Want> for Want {
    type Error = ConvertError;

    fn try_from(want: table::Want) -> Result<Self, ConvertError> {
        Ok(match (want.start, want.profile.as_str()) {
            (true, _) => Self::Start,
            (false, "") => Self::ResumeOrStart { profile: None },
            (false, name) => Self::ResumeOrStart { profile: Some(parse("profile", name)?) },
        })
    }
}

/// A pool's name; empty: none.
pub(super) fn pool(name: &str) -> Result<Option<PoolName>, ConvertError> {
    (!name.is_empty()).then(|| parse("pool", name)).transpose()
}

pub(super) fn since(millis: Option<u64>) -> Option<Timestamp> {
    millis.map(Timestamp)
}
