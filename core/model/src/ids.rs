//! The names things go by. Every identifier has a type of its own, so that none can be mistaken
//! for another; none can be made here from chance or time.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not an identifier of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {expected}, found {found:?}")]
pub struct InvalidId {
    what: &'static str,
    expected: &'static str,
    found: String,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::parse_str(text).map(Self).map_err(|_| InvalidId {
                    what: $what,
                    expected: "a UUID",
                    found: text.to_owned(),
                })
            }
        }
    };
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:literal, $ok:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let ok: fn(&str) -> bool = $ok;
                if ok(text) {
                    Ok(Self(text.into()))
                } else {
                    let found = text.chars().take(80).collect();
                    Err(InvalidId { what: $what, expected: $expected, found })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.as_str().to_owned()
            }
        }
    };
}

uuid_id! {
    /// One session, for ever. A UUID of version 7, made by the leader.
    SessionId, "a session id"
}

uuid_id! {
    /// The cluster's own name, made once with its CA.
    ClusterId, "a cluster id"
}

text_id! {
    /// One agent, for ever: the SHA-256 of its public key, its first 16 bytes in hex. Neither its
    /// host's name nor its address is part of it.
    AgentId, "an agent id", "32 lower-case hex digits", is_key_id
}

text_id! {
    /// One broker's identity, made like an [`AgentId`]. It outlives data folders; Raft's node ids
    /// do not.
    BrokerId, "a broker id", "32 lower-case hex digits", is_key_id
}

text_id! {
    /// The canonical name of a user, as the login gave it back. 1 to 256 bytes, no control
    /// characters, no slash.
    UserName, "a user name", "1 to 256 bytes without slashes or control characters", |t| {
        (1..=256).contains(&t.len()) && t != "." && t != ".."
            && !t.contains('/') && !t.chars().any(char::is_control)
    }
}

text_id! {
    /// A named kind of desktop. 1 to 64 of `a-z 0-9 _ -`.
    ProfileName, "a profile name", "1 to 64 of a-z, 0-9, _ and -", is_word
}

text_id! {
    /// A named set of agents offered to some users or groups. 1 to 64 of `a-z 0-9 _ -`.
    PoolName, "a pool name", "1 to 64 of a-z, 0-9, _ and -", is_word
}

text_id! {
    /// Something that an agent has and a profile can require, such as `gpu`. 1 to 64 of `a-z 0-9 _ -`.
    Label, "a label", "1 to 64 of a-z, 0-9, _ and -", is_word
}

text_id! {
    /// What a client sends with a start so that a repeat is known as one. 1 to 128 bytes of
    /// visible ASCII.
    IdempotencyKey, "an Idempotency-Key", "1 to 128 visible ASCII characters", |t| {
        (1..=128).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_graphic())
    }
}

text_id! {
    /// One boot of one host: the kernel's `/proc/sys/kernel/random/boot_id`.
    BootId, "a boot id", "1 to 64 of a-z, 0-9 and -", |t| {
        (1..=64).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    }
}

text_id! {
    /// The part of a session's path on its agent that nobody can guess: 128 random bits in hex.
    ViewKey, "a view key", "32 lower-case hex digits", is_key_id
}

fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
}

fn is_key_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Milliseconds since 1970-01-01 00:00:00 UTC.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Milliseconds from `earlier` to this, 0 if `earlier` is the later one.
    pub fn since(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This, `millis` milliseconds on.
    pub fn plus(self, millis: u64) -> Timestamp {
        Timestamp(self.0.saturating_add(millis))
    }
}

/// Who may command an agent: compared field by field in this order.
///
/// openraft can elect two leaders in one term, so the leader's node id is part of it. An agent
/// refuses a lower fence than the highest it has seen, and answers with that one.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Fence {
    /// Counts forced takeovers of the cluster.
    pub generation: u64,
    /// The node id that forced the last one.
    pub claimant: u64,
    /// Raft's term.
    pub term: u64,
    /// Raft's node id of the leader.
    pub leader: u64,
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.generation, self.claimant, self.term, self.leader)
    }
}
