//! One desktop's life on its agent: what is decided, not how it is done.
//!
//! A [`Session`] takes events and says what to do about them, in order; [`Viewers`] decides who may
//! look and who must go; a [`FenceGate`] decides whose commands count. Starts no process, writes no
//! file, sends nothing: the agent does, and feeds back what came of it.
//!
//! ```text
//!         StartOrdered         KeeperStarted          EndOrdered
//!   New ──────────────▶ Starting ───────▶ Running ──────────────▶ Ending
//!    │                     │                 │                       │
//!    │ CancelOrdered       └──── KeeperFailed, KeeperEnded, KeeperGone ────▶ Ended
//!    └──────────────▶ Cancelled
//! ```
#![forbid(unsafe_code)]

mod fence;
mod row;
mod session;
#[cfg(test)]
mod tests;
mod viewers;

pub use fence::{FenceGate, Fenced};
pub use row::{KeeperMark, Order, Phase, Row};
pub use session::{CloseReason, Effect, Event, Evidence, Refusal, Session};
pub use viewers::{Evicted, MAX_VIEWERS, PassHash, TooManyViewers, ViewerId, Viewers};
