//! Connections to brokers, over mTLS: how one is dialled, and how the consensus engine's messages travel.
//!
//! Owns no state but the connections. Decides nothing: the engine does, and the roles.
//!
//! ```text
//!  engine ─ Transport ─▶ Line (appends, votes, questions) ─▶ ConsensusService ─ Inbound ─▶ engine
//!                  └───▶ a connection of its own for each snapshot ────┘
//! ```

mod convert;
mod dial;
mod line;
mod serve;
mod service;
mod transport;
mod who;

pub use dial::{Answered, Patience, dial, dial_lazily};
pub use line::Lines;
pub use serve::serve_node;
pub use service::ConsensusService;
pub use transport::Wire;
pub use who::{Shown, shown, who};

/// A message's bytes at most. The engine's largest, an append, has about 2 MiB.
pub const MAX_MESSAGE: usize = 8 << 20;
/// Enough for an append of the largest size to be on its way while heartbeats pass.
const WINDOW: u32 = 4 << 20;
