//! The two clocks: one that people read, one that only measures.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use abide_model::Timestamp;

use crate::hub::Heard;

/// The host's clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Both clocks, at one moment.
pub fn heard() -> Heard {
    Heard { instant: Instant::now(), at: now() }
}
