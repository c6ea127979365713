//! What is claimed, one type for each kind of token.
//!
//! The names of PASETO's registered claims that would not mean quite the same (`exp`, `iat`: texts
//! there) are avoided: times here are milliseconds.

use std::fmt;

use abide_model::{AgentId, SessionId, Timestamp, UserName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::authentic::TimeError;

/// How far the clocks of two brokers may be apart before they refuse each other's tokens.
pub const TOKEN_LEEWAY_MS: u64 = 60_000;

/// How wrong an agent's measurement of its issuer's clock may be. The measurement's error is half a
/// round trip, plus what the clocks have drifted since, if the agent had to fall back on what it
/// kept on disk.
pub const TICKET_LEEWAY_MS: u64 = 5_000;

/// How long a ticket can be redeemed.
pub const TICKET_LIFETIME_MS: u64 = 30_000;

/// What a signature was made for. It is part of what is signed, so that no kind of token can be
/// taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// [`LoginToken`]
    Login,
    /// [`Ticket`]
    Ticket,
    /// [`StatusToken`]
    Status,
    /// [`StartOrder`](crate::StartOrder)
    Start,
    /// [`KeyCertificate`](crate::KeyCertificate)
    Key,
}

impl Purpose {
    /// The name that goes into the signature. Frozen: a changed claim gets a new number.
    pub fn name(self) -> &'static str {
        match self {
            Purpose::Login => "abide login 1",
            Purpose::Ticket => "abide ticket 1",
            Purpose::Status => "abide status 1",
            Purpose::Start => "abide start 1",
            Purpose::Key => "abide key 1",
        }
    }
}

/// The content of one kind of token.
pub trait Claims: Serialize + DeserializeOwned {
    /// Which kind.
    const PURPOSE: Purpose;

    /// When it was made, by its issuer's clock.
    fn made_at(&self) -> Timestamp;
}

/// Claims that hold for a time.
pub trait Timed: Claims {
    /// By how much the judging clock may be off, in milliseconds.
    const LEEWAY_MS: u64;

    /// The first moment at which it no longer holds, leeway apart.
    fn expires_at(&self) -> Timestamp;

    /// Whether it holds at `now`: the time of its issuer's clock, as well as the caller knows it.
    ///
    /// # Errors
    /// [`TimeError`] when it does not hold yet, or no longer.
    fn check(&self, now: Timestamp) -> Result<(), TimeError> {
        let (made_at, expires_at) = (self.made_at(), self.expires_at());
        if now >= expires_at.plus(Self::LEEWAY_MS) {
            return Err(TimeError::Expired { expires_at, now });
        }
        if made_at > now.plus(Self::LEEWAY_MS) {
            return Err(TimeError::NotYet { made_at, now });
        }
        Ok(())
    }
}

/// One token's own name, made by its issuer from chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(pub Uuid);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Handle one's own sessions.
    User,
    /// See and handle everybody's.
    Administrator,
}

/// What a viewer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ViewMode {
    /// See, and use keyboard, mouse and clipboard.
    Control,
    /// See.
    ViewOnly,
}

/// Proof of a login; every broker accepts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginToken {
    /// What a logout puts on the list.
    pub jti: TokenId,
    /// Who logged in.
    pub user: UserName,
    /// The groups that the login back end named.
    pub groups: Vec<String>,
    /// What the person may do.
    pub role: Role,
    /// When the login succeeded.
    pub issued_at: Timestamp,
    /// When the person must log in again.
    pub expires_at: Timestamp,
}

/// Lets its bearer attach to one session on one agent, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// What the agent remembers of a used ticket, until [`Ticket::forgettable_at`].
    pub jti: TokenId,
    /// The session to attach to.
    pub session: SessionId,
    /// The agent that may accept it.
    pub agent: AgentId,
    /// Whose session it is.
    pub user: UserName,
    /// What the viewer may do.
    pub mode: ViewMode,
    /// When it was made.
    pub issued_at: Timestamp,
    /// [`TICKET_LIFETIME_MS`] later.
    pub expires_at: Timestamp,
    /// A signed [`StatusToken`] for the same session, which the agent hands on with the pass.
    pub status: String,
}

/// Why a ticket opens nothing here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongPlace {
    /// It names another agent.
    #[error("the ticket is for agent {named}")]
    Agent {
        /// The agent named.
        named: AgentId,
    },
    /// It names another session.
    #[error("the ticket is for session {named}")]
    Session {
        /// The session named.
        named: SessionId,
    },
}

impl Ticket {
    /// Whether it is for this session on this agent.
    ///
    /// # Errors
    /// [`WrongPlace`] names what it is for instead.
    pub fn check_place(&self, agent: &AgentId, session: SessionId) -> Result<(), WrongPlace> {
        if self.agent != *agent {
            return Err(WrongPlace::Agent { named: self.agent.clone() });
        }
        if self.session != session {
            return Err(WrongPlace::Session { named: self.session });
        }
        Ok(())
    }

    /// From when on, by its issuer's clock, it is refused for its age, so that nobody needs to
    /// remember any more that it was used.
    pub fn forgettable_at(&self) -> Timestamp {
        self.expires_at.plus(TICKET_LEEWAY_MS)
    }
}

/// Lets its bearer ask any broker what became of one session, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusToken {
    /// Its name in the audit log.
    pub jti: TokenId,
    /// The session that may be asked about.
    pub session: SessionId,
    /// Whose session it is.
    pub user: UserName,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

macro_rules! timed {
    ($name:ident, $purpose:ident, $leeway:ident) => {
        impl Claims for $name {
            const PURPOSE: Purpose = Purpose::$purpose;

            fn made_at(&self) -> Timestamp {
                self.issued_at
            }
        }

        impl Timed for $name {
            const LEEWAY_MS: u64 = $leeway;

            fn expires_at(&self) -> Timestamp {
                self.expires_at
            }
        }
    };
}

timed!(LoginToken, Login, TOKEN_LEEWAY_MS);
timed!(Ticket, Ticket, TICKET_LEEWAY_MS);
timed!(StatusToken, Status, TOKEN_LEEWAY_MS);
