//! The replicated table: which sessions run where, and what a broker must not forget.
//!
//! [`Table::apply`] is a pure function of the table and a [`Command`]: every broker applies the same
//! commands in the same order and holds the same table. Nothing here can tell the time or roll a
//! die: whoever proposes a command puts both into it.
#![forbid(unsafe_code)]

mod apply;
mod command;
mod config;
mod ids;
mod parts;
mod rebuild;
mod rows;
mod table;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod unhealed;
mod version;

pub use command::{
    Change, Command, Grounds, Joins, Outcome, Place, Refusal, Report, TokenHash, Want,
};
pub use config::{CONFIG_NOTE, CONFIG_TEXT, CONFIGS_BYTES, CONFIGS_KEPT, ConfigVersion};
pub use ids::*;
pub use parts::{Part, PartError};
pub use rebuild::{Placing, Rebuild};
pub use rows::{
    Agent, AgentFacts, AtDeadline, Broker, Drain, EndReason, Profile, Reach, Session, State, Timing,
};
pub use table::{Admission, ENDED_KEPT_MS, KEYS_KEPT_MS, Removed, Table};
pub use unhealed::Unhealed;
pub use version::WireVersion;

#[cfg(test)]
mod tests;
