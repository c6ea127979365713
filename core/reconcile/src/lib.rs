//! What the leader does where the table and an agent's ledger differ.
//!
//! ```text
//! ledger ── hear, miss ──▶ changes of the table
//! table  ── pursue ──────▶ orders to the agent
//! clock  ── overdue ─────▶ changes of the table
//! ```
//! Works from levels, not from events: the same table and the same ledger always give the same answer.
//! Commits and sends nothing: the broker's driver does, and the simulation's.
#![forbid(unsafe_code)]

mod drain;
mod hear;
mod listening;
mod pursue;
#[cfg(test)]
mod tests;
mod watch;

pub use drain::overdue;
pub use hear::{Heard, Recorded, adopted, hear, miss, state_of, welcome};
pub use listening::Listening;
pub use pursue::{Reservation, Wanted, pursue, start_order};
pub use watch::{REPLACE_AFTER, Watch};
