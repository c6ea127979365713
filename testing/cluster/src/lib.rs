//! A whole cluster of real processes on loopback, for the demo, the tests and the bench.
//!
//! Owns what it starts: every process, also the keepers and their desktops, and every file. All of
//! it is gone when the [`Cluster`] is dropped, and also when its owner is killed, since a guard
//! process watches over that.
//!
//! ```text
//! Cluster ─┬─ brokers           127.N.N.1 …   the first: init, the others: join; then run
//!          ├─ agents            127.N.N.11 …  join by a token, then run ─── keepers, desktops
//!          └─ guard (sh)        waits for the owner's end
//! ```

mod binaries;
mod cluster;
mod commit;
mod faketime;
mod guard;
mod network;
mod options;
mod played;
mod process;
mod servers;
mod sessions;
mod storm;
mod until;
mod whole;

pub use binaries::Binaries;
pub use cluster::{Cluster, TestUser};
pub use faketime::clock_off_by;
pub use network::Network;
pub use options::{Options, Profile, Setting, WebTls};
pub use played::PlayedAgent;
pub use process::Turn;
pub use servers::{AgentServer, BrokerServer};
pub use sessions::Keeper;
pub use storm::{Started, Storm};
pub use until::{until, until_ok};
pub use whole::{ensure_all_heard, ensure_all_vote};
