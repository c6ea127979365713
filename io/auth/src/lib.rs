//! Who may log in, and what proves it afterwards.
mod conversation;

pub use conversation::{Accepted, Answer, Backend, Conversation, RefusalReason, Refused, Step};
