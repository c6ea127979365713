//! The cluster for tests, and the command line on it.
#![expect(clippy::unwrap_used, reason = "what helps a test fails as the test does")]

mod command_line;
mod config;
mod demo;
mod drain;
mod drill;
mod failing_disk;
mod fenced;
mod growing;
mod guessing;
mod leftovers;
mod losing;
mod metrics;
mod pair;
mod storm;
mod taken_in;
mod three_brokers;
mod wrong_clocks;
