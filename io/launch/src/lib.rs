//! How the agent starts keepers, finds those that live, hears from them, ends them, and cleans up
//! after those that were killed.
//!
//! Owns the conversation with keeper and launcher. Keeps no list: the ledger does.
//!
//! ```text
//!            Launcher::start            KeeperLink::connect
//! (nothing) ────────────────▶ keeper ◀──────────────────── agent, also after its restart
//!                               │ ends, or is killed
//!            Launcher::clean_up ▼
//! (nothing) ◀──────────────── folder       inspect(folder): Alive | Gone | Missing
//! ```

mod clean;
mod link;
mod start;
mod stream;

use std::io;
use std::path::Path;

pub use abide_desktop::{Found, MAX_SOCKET_PATH, SessionFolder};
pub use clean::{CleanUpError, clean_up};
pub use link::{KeeperEvent, KeeperLink, LinkError};
pub use start::{Launcher, StartError};

/// Looks who is in a session's folder, by the keeper's lock. Changes nothing and waits for nobody.
///
/// # Errors
/// Those of reading; a damaged `ended` is `InvalidData`.
pub fn inspect(folder: &Path) -> io::Result<Found> {
    SessionFolder::new(folder).look()
}
