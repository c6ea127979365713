//! What a cluster manager says to this host's broker, and hears: a Unix socket in the broker's runtime folder.
//!
//! ```text
//! abide ha … ─ one line of JSON ─▶ serve ─▶ the broker's pair ─▶ one line of JSON, an exit code in it
//! ```
//! Only root and the broker's own user are answered. The socket outlives the broker's engine: while that is
//! put on other data, what is asked waits.

mod ask;
mod serve;
mod words;

pub use ask::ask;
pub(crate) use serve::{Ask, listen, serve};
pub use words::{Code, Order, Reply};

use std::path::{Path, PathBuf};

fn socket(run_dir: &Path) -> PathBuf {
    run_dir.join("ha.sock")
}
