//! The service address: floating IPs on an interface of this host, for as long as this host may hold
//! them.
//!
//! Owns the addresses' life in the kernel and their announcement to the neighbours. Who may hold them is
//! decided elsewhere: a [`Holder`] asks how much longer it may, again and again. Refuses addresses that
//! somebody else has put on the host.
//!
//! ```text
//!            may hold                     every 500 ms, while it may
//!   Free ───────────────▶ put it, 2 s ──▶ Held ─────────┐
//!    ▲                    announce 3 s     │  ▲──────────┘ put it again, 2 s
//!    ├───────────── removed ◀──────────────┤
//!    │              may hold no more, stop │
//!    └── the kernel lets it expire ◀───────┘ the process was killed, or hangs
//! ```
//!
//! Addresses are put as /32 and /128: one that shares a prefix with the host's own would take that with
//! it when it expires.

mod announce;
mod decide;
mod frame;
mod holder;
mod link;
mod netlink;
mod place;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub use holder::{Held, Holder};
pub use place::{Place, PlaceError, prepare, release};

/// Which addresses, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAddress {
    /// The interface that clients' requests come in by.
    pub interface: String,
    /// The addresses, each of its own.
    pub addresses: Vec<IpAddr>,
}
