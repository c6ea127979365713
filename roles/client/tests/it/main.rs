//! The client against brokers and agents that are tests.

mod attach;
mod contact;
mod failover;
mod login;
mod mock;
