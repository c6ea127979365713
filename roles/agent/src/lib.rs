//! The agent: runs the sessions of one host, and lets their viewers in.
//!
//! Owns the ledger, the streams to the brokers, the viewer's web server and the relay. Is not root
//! and starts no process but, in agent-user mode, keepers: those outlive it. Holds no password.
//!
//! ```text
//! broker ⇄ brokers::Link ──┐                         ┌── keepers (one task a session) ⇄ keeper
//! broker ⇄ brokers::Link ──┼──▶ owner (one task) ◀───┤
//! browser ─▶ web ──────────┘     │ ledger first      └── relay (one task a viewer) ⇄ Xvnc
//!                                ▼
//!                   reports, answers, passes, effects
//! ```
//!
//! Invariant: nothing that the ledger does not have was ever said to a broker or a viewer.

mod agent;
mod brokers;
mod checkup;
mod clock;
mod cluster;
mod host;
mod join;
mod keepers;
mod launcher;
mod metrics;
mod owner;
mod policy;
mod profiles;
mod random;
mod relay;
mod renewal;
mod rows;
mod settings;
#[cfg(test)]
mod tests;
mod web;

pub use agent::{AgentError, run};
pub use checkup::{check_up, is_wanted};
pub use join::{Earlier, JoinError, Machine, join};
pub use launcher::{LAUNCHER_ENV, TellError, Told, tell_launcher};
pub use settings::{Display, Profile, RunAs, Settings, Tls, settings_from};
