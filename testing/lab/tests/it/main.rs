//! Hosts, their faults, and a cluster on them. Root on Linux.
#![expect(clippy::unwrap_used, reason = "what helps a test fails as the test does")]

mod failover;
mod histories;
mod hosts;
mod leftovers;
mod references;
