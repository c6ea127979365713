//! How long the parts of a start take.

use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Seconds. A reservation takes some milliseconds, or as long as a failover does.
const BROKERED: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.5, 5.0];
/// Seconds. A desktop takes some tenths of one.
const STARTED: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0];

/// What is measured where it happens.
#[derive(Debug)]
pub struct Times {
    reserved: Histogram,
    started: Histogram,
}

impl Default for Times {
    fn default() -> Self {
        Self { reserved: Histogram::new(BROKERED), started: Histogram::new(STARTED) }
    }
}

impl Times {
    /// A new session was placed and its reservation committed, so long after it was asked for.
    pub fn reserved(&self, took: Duration) {
        self.reserved.observe(took.as_secs_f64());
    }

    /// A new session runs, so long after its reservation.
    pub fn started(&self, took: Duration) {
        self.started.observe(took.as_secs_f64());
    }

    pub(super) fn register(&self, at: &mut Registry) {
        let about = "Time until a new session was placed and its reservation committed";
        at.register_with_unit("reservation_duration", about, Unit::Seconds, self.reserved.clone());
        let about = "Time from a new session's reservation until its desktop could be used";
        at.register_with_unit("desktop_start_duration", about, Unit::Seconds, self.started.clone());
    }
}
