//! The other brokers: what this one asks of them, and what it does for them.
//!
//! Any broker takes any request. What only the leader can do is asked of it; while nobody leads the
//! request waits, and when the leader changes it is asked of the new one. All of it may be repeated.

mod answer;
mod clocks;
mod enroll;
mod leader;
mod roster;
mod service;

pub use clocks::compare_clocks;
pub use enroll::enroll;
pub use roster::{Roster, RosterError};
pub use service::CooperationService;

use std::time::Duration;

use abide_peers::{Lines, MAX_MESSAGE};
use abide_raft::Timing;
use abide_tls::Identity;
use abide_wire::peer::cooperation_client::CooperationClient;
use tonic::transport::Channel;

/// The connections to the other brokers.
#[derive(Clone)]
pub struct Peers {
    /// For the engine alone: nobody's request is in a heartbeat's way.
    pub consensus: Lines,
    /// For everything else.
    requests: Lines,
}

impl Peers {
    /// None yet.
    pub fn new(identity: &Identity, timing: Timing) -> Self {
        // A handshake is three round trips, and the lease is a multiple of one.
        let connect = timing.lease * 2;
        let lines = || Lines::new(identity.internal_client(), connect);
        Self { consensus: lines(), requests: lines() }
    }

    /// How long ago the broker at an address answered the engine.
    pub fn silence(&self, address: &str) -> Option<Duration> {
        self.consensus.silence(address)
    }

    fn client(&self, address: &str) -> CooperationClient<Channel> {
        CooperationClient::new(self.requests.to(address))
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    /// A call's answer came, or did not.
    fn judge<T>(&self, address: &str, answer: Option<&Result<T, tonic::Status>>) {
        match answer {
            Some(Err(status)) if status.code() == tonic::Code::Unavailable => {
                self.requests.missed(address);
            }
            Some(_) => self.requests.answered(address),
            None => self.requests.missed(address),
        }
    }
}
