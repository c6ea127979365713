//! Linux-PAM, as much as a login and a desktop session need.
//!
//! Owns the foreign calls. Decides nothing: what a refusal means is for the caller.
//!
//! Why our own binding: `nonstick` 0.1.2 has no `pam_setcred`, `pam_open_session` and
//! `pam_close_session` for applications yet, and panics on a user name with a zero byte;
//! `pam-client` 0.5.0 hands prompts over one at a time, so that a module's two questions cannot be
//! shown together, and needs libclang to build. Neither wipes answers.

mod conversation;
mod ffi;
mod transaction;

pub use conversation::{Conversation, Message, NoConversation, Style};
pub use transaction::{Code, Item, PamError, Transaction};
