//! Whole clusters of real processes, looked at from outside. One file a theme; names are promises.

mod agent_down;
mod bad_input;
mod balance;
mod broker_down;
mod cleanup;
mod clients;
mod crash;
mod desktop;
mod disk;
mod strangers;
mod support;
mod tickets;
mod tls;
