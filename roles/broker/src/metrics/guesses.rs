//! Logins that failed.

use std::fmt;

use abide_auth::{Failures, Throttle};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// See the module.
#[derive(Debug)]
pub(super) struct Guesses(pub(super) Throttle);

impl Collector for Guesses {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Failures { here, elsewhere } = self.0.failures();
        let about = "Logins that failed, by whether another broker saw them";
        let kind = MetricType::Counter;
        let mut encoder = encoder.encode_descriptor("failed_logins", about, None, kind)?;
        for (seen, count) in [("here", here), ("elsewhere", elsewhere)] {
            let label = [("seen", seen)];
            let mut encoder = encoder.encode_family(&label)?;
            encoder.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }
}
