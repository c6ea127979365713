//! What the agent counts, for Prometheus. Each metric has its line in docs/metrics.md.

use std::sync::Arc;

use abide_model::BrokerId;
use abide_telemetry::Expiries;
use abide_tls::{Identity, WebCertificate};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::policy::{Policy, Standing};

/// The metrics.
pub(crate) struct Metrics {
    registry: Registry,
    /// Sessions that start, run or end.
    pub(crate) sessions: Gauge,
    pub(crate) viewers: Gauge,
    /// Streams to brokers that are up.
    pub(crate) brokers: Gauge,
    pub(crate) unknown_keepers: Gauge,
    redeemed: Family<Outcome, Counter>,
    relayed: Family<Direction, Counter>,
    attached: Histogram,
    offsets: Family<Broker, Gauge>,
    expiries: Expiries,
    config_version: Gauge,
    config_in_force: Gauge,
    policy: Policy,
    identity: Arc<Identity>,
    /// For browsers, if they are served by TLS.
    web: Option<WebCertificate>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Direction {
    to: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Broker {
    broker: String,
}

/// Seconds. Two handshakes on a LAN take some milliseconds; far away, some round trips.
const ATTACHED: [f64; 10] = [0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// What a relay counts.
#[derive(Debug, Clone)]
pub(crate) struct Counters {
    /// Bytes.
    pub(crate) to_viewers: Counter,
    /// Bytes.
    pub(crate) to_displays: Counter,
    /// Seconds until both have greeted each other.
    pub(crate) attached: Histogram,
}

impl Metrics {
    /// Nothing counted yet. `web` is the certificate for browsers.
    pub(crate) fn new(
        identity: Arc<Identity>,
        web: Option<WebCertificate>,
        policy: Policy,
    ) -> Self {
        let mut registry = abide_telemetry::registry(env!("CARGO_PKG_VERSION"));
        let expiries = Expiries::register(&mut registry);
        let [sessions, viewers, brokers, unknown_keepers, config_version, config_in_force] =
            [(); 6].map(|()| Gauge::default());
        let (redeemed, relayed, offsets) =
            (Family::default(), Family::default(), Family::default());
        let it = abide_telemetry::ours(&mut registry).sub_registry_with_prefix("agent");
        for (name, about, gauge) in [
            ("sessions", "Sessions that start, run or end", &sessions),
            ("viewers", "Viewers attached", &viewers),
            ("brokers_connected", "Brokers that this agent has a stream to", &brokers),
            (
                "config_version",
                "Version of the cluster's configuration that was told",
                &config_version,
            ),
            (
                "config_in_force",
                "Whether it can be read here; else an earlier one is in force",
                &config_in_force,
            ),
            ("unknown_keepers", "Keepers found that the ledger did not know", &unknown_keepers),
        ] {
            it.register(name, about, gauge.clone());
        }
        let attached = Histogram::new(ATTACHED);
        let about =
            "Time from a viewer's connection until it and its display have greeted each other";
        it.register_with_unit("attach_duration", about, Unit::Seconds, attached.clone());
        it.register("tickets", "Tickets shown, by what came of them", redeemed.clone());
        let about = "RFB relayed";
        it.register_with_unit("relayed", about, Unit::Bytes, relayed.clone());
        it.register(
            "clock_offset_milliseconds",
            "A broker's clock minus this host's",
            offsets.clone(),
        );
        let metrics = Self {
            registry,
            sessions,
            viewers,
            brokers,
            unknown_keepers,
            redeemed,
            relayed,
            attached,
            offsets,
            expiries,
            config_version,
            config_in_force,
            policy,
            identity,
            web,
        };
        // Told of before the first: a rate needs a zero to begin with.
        for accepted in [true, false] {
            metrics.tickets(accepted);
        }
        metrics.relayed();
        metrics
    }

    /// A ticket was shown.
    pub(crate) fn ticket(&self, accepted: bool) {
        self.tickets(accepted).inc();
    }

    fn tickets(&self, accepted: bool) -> Counter {
        let outcome = if accepted { "accepted" } else { "refused" };
        self.redeemed.get_or_create(&Outcome { outcome }).clone()
    }

    /// What a relay counts.
    pub(crate) fn relayed(&self) -> Counters {
        let to = |to| self.relayed.get_or_create(&Direction { to }).clone();
        let attached = self.attached.clone();
        Counters { to_viewers: to("viewers"), to_displays: to("displays"), attached }
    }

    /// A broker's clock was measured.
    pub(crate) fn offset(&self, broker: &BrokerId, offset_ms: i64) {
        self.offsets.get_or_create(&Broker { broker: broker.to_string() }).set(offset_ms);
    }

    /// All of it, in Prometheus's text format.
    pub(crate) fn render(&self) -> String {
        let Standing { number, is_readable } = self.policy.standing();
        self.config_version.set(i64::try_from(number).unwrap_or(i64::MAX));
        self.config_in_force.set(i64::from(is_readable));
        self.expiries.set("node", self.identity.expires_at());
        self.web.iter().for_each(|it| self.expiries.set("web", it.expires_at()));
        abide_telemetry::render(&self.registry)
    }
}
