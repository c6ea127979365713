//! Whole Debian hosts on one machine, Abide installed on them from its package, and what befalls both.
//!
//! ```text
//! world (of testing/lab: own process ids, mounts, network; ends with its owner)
//!  ├─ the test      10.77.0.250   people's computers
//!  ├─ switch        a bridge in a namespace of its own
//!  └─ h1, h2, h3    10.77.0.1 …   systemd-nspawn, Debian's own init
//!        root = overlay ─┬─ base   one folder for all, made from Debian's packages, kept between runs
//!                        └─ disk   a file system of its own, which can lose power
//! ```
//!
//! A host is whole: its init, its log, its users, its disk, its network card. What it shares with the
//! machine is the kernel and its clock.

mod base;
mod disk;
pub mod fencing;
mod host;
mod hosts;
mod notify;
mod person;
pub mod site;
mod story;
mod takeover;
mod way;

pub use base::{Base, ensure as ensure_base};
pub use host::{Host, Said};
pub use hosts::{Hosts, install};
pub use person::Person;
pub use story::{newer_package, package, tell};
pub use takeover::Takeover;
pub use way::Way;
