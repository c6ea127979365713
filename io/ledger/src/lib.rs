//! The agent's durable record: its sessions, the fence it obeys, the tickets it has seen, the passes
//! it has given out, who was logged out everywhere, and what it knows of the brokers and their clocks.
//!
//! Owns one folder with one SQLite database. What is read is read once, when it is opened; from then
//! on the caller's memory is the truth and the database follows it, write by write. Decides nothing
//! about sessions: see `core/session`.
//!
//! ```text
//! open ──▶ Contents                        the folder's lock is held until the last handle is gone
//!   └────▶ Ledger ──write──▶ one thread    writes that wait together share one transaction
//! ```

mod contents;
mod folder;
mod ledger;
mod schema;
mod stored;
#[cfg(test)]
mod tests;
mod writer;

pub use contents::{ClockOffset, Contents, KeptConfig, LogOut, Pass, UsedTicket, Write};
pub use ledger::{Ledger, WriteError};
pub use schema::OpenError;
