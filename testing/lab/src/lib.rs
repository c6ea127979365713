//! Whole hosts on one machine, their faults, and what people notice of them.
//!
//! ```text
//! world (own process ids, mounts, network; ends with its owner)
//!  ├─ client  10.77.0.250   where the lab itself runs: people's computers
//!  ├─ switch                a bridge, no address
//!  ├─ broker  10.77.0.1 …   a network namespace, /tmp, /run and /var/lib/xkb of its own
//!  └─ agent   10.77.0.11 …  the same
//! ```
//!
//! Nothing here touches the machine's own network: all of it is made inside the [`world`], and the
//! kernel takes all of it away with the world's first process, however that ends.

pub mod acts;
pub mod apart;
pub mod audit;
pub mod cluster;
pub mod faults;
mod floating;
pub mod history;
mod ip;
pub mod keepalived;
pub mod load;
pub mod network;
pub mod people;
pub mod probe;
pub mod recorder;
pub mod report;
pub mod round;
pub mod scenario;
pub mod slow;
pub mod viewer;
pub mod world;
