//! What happened, line by line, and a hash over all of it.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// The trace of one run.
pub struct Trace {
    begun: Instant,
    shown: bool,
    sum: Mutex<crc32fast::Hasher>,
}

impl Trace {
    /// An empty one; its lines are printed if `shown`.
    pub fn new(shown: bool) -> Self {
        Self { begun: Instant::now(), shown, sum: Mutex::default() }
    }

    /// Adds a line.
    pub fn add(&self, line: &str) {
        let line = format!("{:>9.3} {line}", self.begun.elapsed().as_secs_f64());
        self.sum.lock().unwrap_or_else(PoisonError::into_inner).update(line.as_bytes());
        if self.shown {
            eprintln!("{line}");
        }
    }

    /// Milliseconds of simulated time.
    pub fn millis(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    /// Over all lines so far.
    pub fn hash(&self) -> u32 {
        self.sum.lock().unwrap_or_else(PoisonError::into_inner).clone().finalize()
    }
}
