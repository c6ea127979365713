//! What every login back end speaks: a conversation of prompts that ends in a yes or a no.
//!
//! ```text
//! Backend::begin ─▶ Prompt ──Conversation::answer──▶ Prompt … ─▶ Accepted | Refused
//! ```
//!
//! A conversation is consumed by its answers, so none is answered twice.

use std::fmt;
use std::net::IpAddr;

use abide_api::{Message, Prompt};
use abide_model::UserName;
use abide_ticket::Role;
use async_trait::async_trait;
use zeroize::Zeroizing;

/// Knows whether people are who they say.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Begins a login. `user` is what the person typed, of 1 to 256 bytes without control
    /// characters; `from` is the person's address. Whether the user exists must not be told from
    /// the step that comes back, nor from the time it takes.
    async fn begin(&self, user: &UserName, from: IpAddr) -> Step;
}

/// A login that waits for answers. Dropping it gives it up.
#[async_trait]
pub trait Conversation: Send {
    /// Goes on with these answers, one for each prompt.
    async fn answer(self: Box<Self>, answers: Vec<Answer>) -> Step;
}

/// Where a login stands.
pub enum Step {
    /// It asks something.
    Prompt {
        /// To be shown.
        messages: Vec<Message>,
        /// To be answered, all of them; at least one.
        prompts: Vec<Prompt>,
        /// How to answer.
        next: Box<dyn Conversation>,
    },
    /// The person is who they say, and may log in.
    Accepted(Accepted),
    /// Not, or may not.
    Refused(Refused),
}

/// A person who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The canonical name: the key of the table.
    pub user: UserName,
    /// The groups that the back end knows.
    pub groups: Vec<String>,
    /// What the person may do.
    pub role: Role,
    /// To be shown.
    pub messages: Vec<Message>,
}

/// A person who has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub reason: RefusalReason,
    /// To be shown.
    pub messages: Vec<Message>,
}

/// Why a login was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalReason {
    /// Unknown user or wrong answer; nobody is told which. Counted by the throttle.
    Credentials,
    /// The account has expired.
    AccountExpired,
    /// The password has expired.
    PasswordExpired,
    /// A rule says no: time, host, shell, a lock.
    AccessDenied,
    /// The back end is not working.
    Unavailable,
}

impl RefusalReason {
    /// As in the audit log.
    pub fn name(self) -> &'static str {
        match self {
            RefusalReason::Credentials => "credentials",
            RefusalReason::AccountExpired => "account-expired",
            RefusalReason::PasswordExpired => "password-expired",
            RefusalReason::AccessDenied => "access-denied",
            RefusalReason::Unavailable => "unavailable",
        }
    }
}

impl Step {
    /// A refusal without messages.
    pub fn refused(reason: RefusalReason) -> Self {
        Step::Refused(Refused { reason, messages: Vec::new() })
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Prompt { messages, prompts, .. } => f
                .debug_struct("Prompt")
                .field("messages", messages)
                .field("prompts", prompts)
                .finish_non_exhaustive(),
            Step::Accepted(accepted) => accepted.fmt(f),
            Step::Refused(refused) => refused.fmt(f),
        }
    }
}

/// What a person typed: wiped from memory when dropped, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer(Zeroizing<String>);

impl Answer {
    /// An answer of this text.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for the one place that checks it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer(not shown)")
    }
}
