//! Whole clusters of real processes, looked at from outside. One file a theme; names are promises.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on says where; its figures are for people"
)]

mod agent_down;
mod bad_input;
mod balance;
mod broker_down;
mod cleanup;
mod clients;
mod command_line;
mod console;
mod crash;
mod desktop;
mod disk;
mod failover;
mod losing;
mod strangers;
mod support;
mod tickets;
mod tls;
mod without_brokers;
