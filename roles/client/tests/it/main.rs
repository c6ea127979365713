//! The client against brokers and agents that are tests.
#![expect(clippy::unwrap_used, reason = "what helps a test fails as the test does")]

mod attach;
mod contact;
mod failover;
mod login;
mod mock;
mod pulse;
