//! Stories of whole hosts with Abide's package on them. `cargo xtask lab` tells them.
#![expect(clippy::unwrap_used, reason = "what helps a test fails as the test does")]
#![expect(clippy::print_stdout, reason = "stories tell their figures")]

mod both_off;
mod figures;
mod heartbeat;
mod hosts;
mod keepalived;
mod leftovers;
mod logins;
mod managed;
mod pacemaker;
mod pair;
mod partition;
mod restarts;
mod rolling;
mod site;
