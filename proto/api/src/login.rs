//! Logging in: a conversation of prompts that ends in a token.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Time;

/// Begins a login.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// As the person typed it.
    pub username: String,
    /// Answers held from a conversation that another broker began: given to the prompts in order,
    /// as far as they reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<String>,
}

/// Answers the prompts of a conversation, all of the last reply's, in their order.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerRequest {
    /// One for each prompt.
    pub answers: Vec<String>,
}

/// What a login answers: more prompts, or a token.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum LoginReply {
    /// The conversation goes on.
    Prompts {
        /// Names the conversation, and the broker that holds it.
        conversation: String,
        /// To be shown.
        messages: Vec<Message>,
        /// To be answered, in this order.
        prompts: Vec<Prompt>,
    },
    /// The person is logged in.
    Accepted {
        /// For `Authorization: Bearer`, at every broker.
        token: String,
        /// The canonical user name.
        user: String,
        /// To be shown.
        messages: Vec<Message>,
        /// When the token ends.
        expires_at: Time,
    },
}

/// A text to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// How to show it.
    pub style: MessageStyle,
    /// The text.
    pub text: String,
}

/// How a message is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MessageStyle {
    /// For information.
    Info,
    /// Something is wrong.
    Error,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Prompt {
    /// Whether the answer may be seen while it is typed.
    pub style: PromptStyle,
    /// The question.
    pub text: String,
}

/// Whether an answer may be seen while it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PromptStyle {
    /// It may not: a password, a code.
    EchoOff,
    /// It may.
    EchoOn,
}

/// Ends a token, or all of a user's.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogoutRequest {
    /// True: every token and every pass of this user ends. No desktop does.
    #[serde(default)]
    pub everywhere: bool,
}

/// Who the token says one is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// The canonical user name.
    pub user: String,
    /// The user's groups.
    pub groups: Vec<String>,
    /// Whether the user administers the cluster.
    pub admin: bool,
}
