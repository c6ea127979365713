//! What one of two brokers does when it may have to go on alone. Pure: what is known goes in, what to do
//! comes out.
//!
//! ```text
//!            a majority acknowledges, or a leader is heard ─▶ Serve, Follow
//!            the peer stands on a higher claim ─────────────▶ Rejoin
//! otherwise  no standing order ─────────────────────────────▶ Wait
//!            others know more than this node ───────────────▶ Refuse
//!            the peer is proven to be down ─────────────────▶ Force
//!            not heard for peer_timeout:   unfenced ────────▶ Force
//!                                          fenced ──────────▶ Unproven
//! ```
//! Knows nothing of Raft, cannot tell the time, and sends nothing: the broker does.
#![forbid(unsafe_code)]

mod decide;
mod view;

pub use decide::{Decision, Forced, Stale, Why, decide, stale};
pub use view::{Agents, Claim, Mine, Order, Peer, Policy, Proof, Standing, Takeover, View};

#[cfg(test)]
mod tests;
