//! The other brokers: what this one asks of them, and what it does for them.
//!
//! Any broker takes any request. What only the leader can do is asked of it; while nobody leads the
//! request waits, and when the leader changes it is asked of the new one. All of it may be repeated.

mod answer;
mod clocks;
mod enroll;
mod failures;
mod leader;
mod roster;
mod service;

pub use clocks::compare_clocks;
pub use enroll::{enroll, find_leader};
pub use failures::{QUEUE as FAILURES, tell as tell_failures};
pub use roster::{AdmitError, Roster, RosterError, admit, is_settled};
pub use service::CooperationService;

use std::time::Duration;

use abide_peers::{Lines, MAX_MESSAGE};
use abide_raft::Timing;
use abide_tls::Identity;
use abide_wire::peer::cooperation_client::CooperationClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// The connections to the other brokers.
#[derive(Clone)]
pub struct Peers {
    /// For the engine alone: nobody's request is in a heartbeat's way.
    pub consensus: Lines,
    /// For agents that only another broker hears: what they have to say may be much.
    relays: Lines,
    /// For everything else.
    requests: Lines,
}

impl Peers {
    /// None yet.
    pub fn new(identity: &Identity, timing: Timing) -> Self {
        // A handshake is three round trips, and the lease is a multiple of one.
        let connect = timing.lease * 2;
        let lines = || Lines::new(identity.internal_client(), connect);
        Self { consensus: lines(), relays: lines(), requests: lines() }
    }

    /// How long ago the broker at an address answered the engine.
    pub fn silence(&self, address: &str) -> Option<Duration> {
        self.consensus.silence(address)
    }

    /// For asking the broker at an address.
    pub fn client(&self, address: &str) -> CooperationClient<Channel> {
        client(&self.requests, address)
    }

    /// For speaking with agents through the broker at an address.
    pub fn relay_client(&self, address: &str) -> CooperationClient<Channel> {
        client(&self.relays, address)
    }

    /// A call's answer came, or did not.
    pub fn judge<T>(&self, address: &str, answer: Option<&Result<T, Status>>) {
        judge(&self.requests, address, answer);
    }

    /// A relay's answer came, or did not.
    pub fn judge_relay<T>(&self, address: &str, answer: Option<&Result<T, Status>>) {
        judge(&self.relays, address, answer);
    }
}

fn client(lines: &Lines, address: &str) -> CooperationClient<Channel> {
    CooperationClient::new(lines.to(address))
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE)
}

fn judge<T>(lines: &Lines, address: &str, answer: Option<&Result<T, Status>>) {
    match answer {
        Some(Err(status)) if status.code() == Code::Unavailable => lines.missed(address),
        Some(_) => lines.answered(address),
        None => lines.missed(address),
    }
}
