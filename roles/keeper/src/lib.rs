//! The processes that stand between the agent and the operating system. All are synchronous and
//! small; each is one subcommand of `abide-keeper`.
//!
//! | module | subcommand | runs as | lives |
//! |---|---|---|---|
//! | [`keep`] | `keep` | the agent's user, or root | as long as one session |
//! | [`launch`] | `launch` | root | always; starts keepers for the agent |
//! | [`login`] | `login-helper` | root | always; one child per login |
//!
//! None of them opens a network socket, and none trusts its caller further than the module says.

pub mod keep;
pub mod launch;
pub mod login;

mod accounts;
mod children;
mod listener;
mod signals;

pub use accounts::{UnknownAccount, group_id, user_id};
