//! This host's clock, and how far the brokers' clocks are from it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use abide_ledger::ClockOffset;
use abide_model::{BrokerId, Timestamp};

/// The time by this host's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What was measured of the brokers' clocks.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    /// A broker's time minus ours, milliseconds.
    offsets: Mutex<HashMap<BrokerId, i64>>,
}

impl Clocks {
    /// What was measured before the agent's restart.
    pub(crate) fn restored(offsets: Vec<ClockOffset>) -> Self {
        let offsets = offsets.into_iter().map(|it| (it.broker, it.offset_ms)).collect();
        Self { offsets: Mutex::new(offsets) }
    }

    /// A broker's time minus ours, milliseconds; 0 if it was never measured.
    pub(crate) fn offset(&self, broker: &BrokerId) -> i64 {
        let offsets = self.offsets.lock().unwrap_or_else(PoisonError::into_inner);
        offsets.get(broker).copied().unwrap_or(0)
    }

    /// The time by a broker's clock.
    pub(crate) fn at(&self, broker: &BrokerId) -> Timestamp {
        Timestamp(now().0.saturating_add_signed(self.offset(broker)))
    }

    /// Takes in a measurement: `sent` by our clock, `answered` by the broker's, `took` in between.
    /// Gives what is worth keeping on disk: a difference that a ticket's judge would notice.
    pub(crate) fn measured(
        &self,
        broker: &BrokerId,
        sent: Timestamp,
        answered: Timestamp,
        took: Duration,
    ) -> Option<ClockOffset> {
        let midpoint = sent.0.saturating_add(u64::try_from(took.as_millis() / 2).unwrap_or(0));
        let offset_ms = i64::try_from(i128::from(answered.0) - i128::from(midpoint)).unwrap_or(0);
        let mut offsets = self.offsets.lock().unwrap_or_else(PoisonError::into_inner);
        let before = offsets.insert(broker.clone(), offset_ms);
        let worth = before.is_none_or(|before| before.abs_diff(offset_ms) > 100);
        worth.then(|| ClockOffset { broker: broker.clone(), offset_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_the_round_trip_is_the_networks() {
        let broker: BrokerId = "b".repeat(32).parse().unwrap();
        let clocks = Clocks::default();
        assert_eq!(clocks.offset(&broker), 0);
        let took = Duration::from_millis(20);
        let kept = clocks.measured(&broker, Timestamp(1_000), Timestamp(601_010), took);
        assert_eq!(kept, Some(ClockOffset { broker: broker.clone(), offset_ms: 600_000 }));
        assert_eq!(clocks.offset(&broker), 600_000);
        let again = clocks.measured(&broker, Timestamp(2_000), Timestamp(602_050), took);
        assert_eq!(again, None, "what hardly changed is not written again");
        assert_eq!(clocks.offset(&broker), 600_040);
        let behind = clocks.measured(&broker, Timestamp(601_010), Timestamp(1_000), took);
        assert_eq!(behind.unwrap().offset_ms, -600_020);
    }
}
