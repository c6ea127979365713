//! Reads configuration files, and says everything that is wrong with one at once: each problem
//! with its file, line, key and what would be right.
//!
//! Owns the way from a TOML text to checked values. Refuses unknown keys. What the keys are is
//! each role's business: it gives [`read`] a function that takes the values it wants out of the
//! root [`Table`] and makes its own checked type of them.
//!
//! ```
//! # use std::net::SocketAddr;
//! # use std::time::Duration;
//! struct Listen { http: SocketAddr, idle: Duration }
//!
//! let shape = |root: &mut abide_config::Table<'_>| {
//!     let mut listen = root.table("listen");
//!     Listen {
//!         http: listen.socket_addr("http").required(),
//!         idle: listen.duration("idle").or(Duration::from_secs(60)),
//!     }
//! };
//! let listen = abide_config::read("agent.toml", "[listen]\nhttp = '0.0.0.0:443'", shape)?;
//! assert_eq!(listen.idle, Duration::from_secs(60));
//!
//! let problems = abide_config::read("agent.toml", "[listen]\nhtpp = 1", shape).err().unwrap();
//! assert_eq!(problems.to_string(), "\
//! agent.toml:1: listen.http: missing, should be an address such as 0.0.0.0:443
//! agent.toml:2: listen.htpp: unknown key, did you mean \"http\"?");
//! # Ok::<(), abide_config::Problems>(())
//! ```

mod base_url;
mod field;
mod file;
mod first;
mod problems;
mod shipped;
mod table;
#[cfg(test)]
mod tests;
mod tree;

pub use base_url::{BaseUrl, InvalidBaseUrl};
pub use field::{Field, StandIn};
pub use file::{Access, replace_file};
pub use first::{NotSaid, say_first};
pub use problems::{Problem, Problems};
pub use shipped::Shipped;
pub use table::Table;

use std::io;
use std::path::{Path, PathBuf};

use problems::Sink;

/// Why a configuration file gave no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It could not be read at all.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// It says something wrong. Its text is the list, one problem a line.
    #[error(transparent)]
    Problems(#[from] Problems),
}

/// The checked value that `shape` makes of the TOML `text`; `file` is what the problems name.
///
/// `shape` always runs to its end, so that all problems are found; what it makes of a text with
/// problems is thrown away.
///
/// # Errors
/// All [`Problems`] of the text; if it is not TOML at all, those of syntax alone.
pub fn read<T>(
    file: &str,
    text: &str,
    shape: impl FnOnce(&mut Table<'_>) -> T,
) -> Result<T, Problems> {
    let sink = Sink::default();
    let entries = tree::parse(text, &sink);
    if sink.is_empty() {
        let mut root = Table::root(&sink, entries);
        let value = shape(&mut root);
        drop(root);
        if sink.is_empty() {
            return Ok(value);
        }
    }
    Err(sink.into_problems(file))
}

/// [`read`], from a file.
///
/// # Errors
/// [`ReadError`]: the file cannot be read, or has problems.
pub fn read_file<T>(path: &Path, shape: impl FnOnce(&mut Table<'_>) -> T) -> Result<T, ReadError> {
    let text = std::fs::read_to_string(path)
        .map_err(|cause| ReadError::Unreadable { path: path.to_owned(), cause })?;
    Ok(read(&path.display().to_string(), &text, shape)?)
}
