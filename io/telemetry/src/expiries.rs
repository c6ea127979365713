//! When certificates end.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::metrics::ours;

/// The family `abide_certificate_expiry_timestamp_seconds`.
#[derive(Debug)]
pub struct Expiries(Family<Of, Gauge>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    certificate: &'static str,
}

impl Expiries {
    /// A family without certificates, in this registry.
    pub fn register(registry: &mut Registry) -> Self {
        let family = Family::default();
        ours(registry).register_with_unit(
            "certificate_expiry_timestamp",
            "When a certificate ends, in Unix time",
            Unit::Seconds,
            Family::clone(&family),
        );
        Self(family)
    }

    /// This certificate ends then.
    pub fn set(&self, certificate: &'static str, end: SystemTime) {
        let end = end.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let end = i64::try_from(end).unwrap_or(i64::MAX);
        self.0.get_or_create(&Of { certificate }).set(end);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::{registry, render};

    #[test]
    fn the_end_of_a_certificate_is_told() {
        let mut registry = registry("0");
        let expiries = Expiries::register(&mut registry);
        expiries.set("web", UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let text = render(&registry);
        let line = "abide_certificate_expiry_timestamp_seconds{certificate=\"web\"} 1800000000\n";
        assert!(text.contains(line), "{text}");
    }
}
