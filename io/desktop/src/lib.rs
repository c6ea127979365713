//! What one session is made of on its host (its folder, cgroup, processes and X display), and how
//! all of it is removed.
//!
//! Owns the layout of the folder and the rules by which leftovers are recognised. Starts nothing:
//! the keeper does. Synchronous and small, since the keeper is built on it.
//!
//! ```text
//! keeper ──uses──▶ SessionFolder, Cgroup, Display, processes
//! after a keeper that was killed: clean_up(folder)
//! ```
//!
//! Invariant: nothing is signalled or removed that is not proven to be the session's: a cgroup by
//! its name, a process by its parents or its environment, a display's socket by its inode.

mod cgroup;
mod clean;
mod display;
mod folder;
pub mod processes;

pub use cgroup::{Cgroup, CgroupRecord};
pub use clean::{CleanUpError, Remains, clean_up, end_processes, remove_tree};
pub use display::DisplayRecord;
pub use folder::{Found, Lock, LockError, MAX_SOCKET_PATH, SessionFolder};

/// In the environment of every process of a session, with the session's id: by it the remains of
/// a session are found where there is no cgroup.
pub const MARKER: &str = "ABIDE_SESSION";
