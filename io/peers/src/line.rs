//! Standing connections to the other brokers, one an address.
//!
//! A connection through a cut is not told: TCP tries again at ever longer intervals, and after a cut of
//! seconds stays silent for seconds more. So one on which several calls in a row went unanswered is given
//! up, and the next call makes a new one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tonic::transport::Channel;

use crate::dial::{Patience, dial_lazily};

/// Calls in a row that went unanswered, until the connection is given up.
const MISSES: u32 = 3;

/// The connections. Clones share them.
#[derive(Clone)]
pub struct Lines(Arc<Shared>);

struct Shared {
    tls: Arc<ClientConfig>,
    patience: Patience,
    by_address: Mutex<HashMap<String, Line>>,
}

struct Line {
    channel: Channel,
    made: Instant,
    misses: u32,
    heard: Option<Instant>,
}

impl Lines {
    /// None yet. A handshake may take `connect`; no connection is given up sooner than that.
    pub fn new(tls: Arc<ClientConfig>, connect: Duration) -> Self {
        let patience = Patience {
            connect,
            probe_after: Duration::from_secs(2).max(connect),
            probe_within: Duration::from_secs(3).max(connect),
        };
        Self(Arc::new(Shared { tls, patience, by_address: Mutex::default() }))
    }

    /// The connection to an address, made when it is first used.
    pub fn to(&self, address: &str) -> Channel {
        let mut lines = self.lock();
        if let Some(line) = lines.get(address) {
            return line.channel.clone();
        }
        let line = self.make(address);
        let channel = line.channel.clone();
        lines.insert(address.to_owned(), line);
        channel
    }

    /// A connection of one's own.
    pub fn apart(&self, address: &str) -> Channel {
        self.make(address).channel
    }

    /// A call was answered.
    pub fn answered(&self, address: &str) {
        if let Some(line) = self.lock().get_mut(address) {
            line.misses = 0;
            line.heard = Some(Instant::now());
        }
    }

    /// How long ago a call to an address was answered.
    pub fn silence(&self, address: &str) -> Option<Duration> {
        Some(self.lock().get(address)?.heard?.elapsed())
    }

    /// A call was not answered in its time.
    pub fn missed(&self, address: &str) {
        let mut lines = self.lock();
        let Some(line) = lines.get_mut(address) else { return };
        line.misses += 1;
        if line.misses >= MISSES && line.made.elapsed() > self.0.patience.connect {
            let heard = line.heard;
            *line = Line { heard, ..self.make(address) };
        }
    }

    fn make(&self, address: &str) -> Line {
        let Shared { tls, patience, .. } = &*self.0;
        let channel = dial_lazily(address, Arc::clone(tls), *patience);
        Line { channel, made: Instant::now(), misses: 0, heard: None }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Line>> {
        // One entry is added or changed at a time.
        self.0.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
