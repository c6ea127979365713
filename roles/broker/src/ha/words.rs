//! The words, and the exit codes that scripts build on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum Order {
    /// This node must serve.
    Activate {
        /// Somebody vouches for it that the peer is down.
        peer_is_down: bool,
        /// Also from data that may be stale.
        accept_stale: bool,
        /// How long it may take.
        timeout_ms: u64,
    },
    /// It need not any more.
    Release {
        /// How long it may take.
        timeout_ms: u64,
    },
    /// How it stands.
    Status,
    /// What was acknowledged in vain.
    Aside,
}

/// How long whoever only asks waits.
const LOOK: Duration = Duration::from_secs(5);

impl Order {
    /// How long it may take.
    pub fn timeout(&self) -> Duration {
        match self {
            Self::Activate { timeout_ms, .. } | Self::Release { timeout_ms } => {
                Duration::from_millis(*timeout_ms)
            }
            Self::Status | Self::Aside => LOOK,
        }
    }
}

/// The exit codes, the same for every order. FROZEN: scripts go by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[repr(u8)]
pub enum Code {
    /// It serves; released; it leads.
    Serves = 0,
    /// Anything else.
    Failed = 1,
    /// It follows, and has what the leader has.
    Follower = 10,
    /// It catches up.
    Learner = 11,
    /// No majority.
    NoQuorum = 12,
    /// Its data may be stale.
    Stale = 13,
    /// No broker answers.
    Down = 14,
    /// The peer is not proven to be down.
    Unproven = 15,
}

/// A number that is none of them.
#[derive(Debug, thiserror::Error)]
#[error("{0} is no exit code of a broker")]
pub struct NoCode(u8);

impl From<Code> for u8 {
    fn from(code: Code) -> Self {
        code as u8
    }
}

impl TryFrom<u8> for Code {
    type Error = NoCode;

    fn try_from(number: u8) -> Result<Self, NoCode> {
        use Code::{Down, Failed, Follower, Learner, NoQuorum, Serves, Stale, Unproven};
        let all = [Serves, Failed, Follower, Learner, NoQuorum, Stale, Down, Unproven];
        all.into_iter().find(|code| *code as u8 == number).ok_or(NoCode(number))
    }
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The command's exit code.
    pub code: Code,
    /// For people: what it is, and what to do.
    pub text: String,
    /// For programs.
    #[serde(default)]
    pub details: serde_json::Value,
}

impl Reply {
    /// Without anything more for programs.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), details: serde_json::Value::Null }
    }
}
