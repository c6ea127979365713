//! What the broker counts, for Prometheus. Each metric has its line in docs/metrics.md.

mod engine;
mod group;
mod guesses;
mod times;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use abide_address::Held;
use abide_auth::Throttle;
use abide_model::{Reach, State};
use abide_telemetry::Expiries;
use abide_tls::WebCertificate;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::broker::Broker;
use crate::clock::Trust;
use engine::Engine;
use group::Standing;
use guesses::Guesses;
pub use times::Times;

/// Seconds. A reconnect takes about a millisecond, a start as long as the desktop.
const BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// The metrics.
pub struct Metrics {
    registry: Registry,
    starts: Family<Outcome, Histogram>,
    connects: Family<Outcome, Histogram>,
    sessions: Family<InState, Gauge>,
    agents: Family<Reached, Gauge>,
    relayed: Gauge,
    serving: Gauge,
    free_space: Gauge,
    clock_believed: Gauge,
    config_version: Gauge,
    config_in_force: Gauge,
    clock_offset: Gauge<f64, AtomicU64>,
    expiries: Expiries,
    /// For browsers, if they are served by TLS.
    web: Option<WebCertificate>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InState {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reached {
    reachable: &'static str,
}

impl Metrics {
    /// Nothing counted yet. `web` is the certificate for browsers, `held` the service address.
    pub fn new(
        web: Option<WebCertificate>,
        broker: &Broker,
        throttle: Throttle,
        held: Option<Held>,
    ) -> Self {
        let mut registry = abide_telemetry::registry(env!("CARGO_PKG_VERSION"));
        let histograms =
            || Family::<Outcome, Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
        let (starts, connects) = (histograms(), histograms());
        // Told of before the first: a rate needs a zero to begin with.
        for (family, ok) in
            [(&starts, true), (&starts, false), (&connects, true), (&connects, false)]
        {
            drop(family.get_or_create(&outcome(ok)));
        }
        let (sessions, agents) = (Family::default(), Family::default());
        let expiries = Expiries::register(&mut registry);
        let (relayed, serving, free_space) = (Gauge::default(), Gauge::default(), Gauge::default());
        let (clock_believed, clock_offset) = (Gauge::default(), Gauge::default());
        let (config_version, config_in_force) = (Gauge::default(), Gauge::default());
        let it = abide_telemetry::ours(&mut registry).sub_registry_with_prefix("broker");
        it.register_with_unit(
            "start_duration",
            "Time from a request to start or resume until it is answered",
            Unit::Seconds,
            starts.clone(),
        );
        it.register_with_unit(
            "connect_duration",
            "Time from a request for the way back in until it is answered",
            Unit::Seconds,
            connects.clone(),
        );
        broker.times.register(it);
        it.register("sessions", "Sessions in the table", sessions.clone());
        it.register("agents", "Agents in the table", agents.clone());
        it.register(
            "agents_relayed",
            "Agents that this broker, as the leader, speaks with through another one",
            relayed.clone(),
        );
        it.register("serving", "Whether this broker can serve a login now", serving.clone());
        it.register_with_unit(
            "data_free",
            "Free space where the log is",
            Unit::Bytes,
            free_space.clone(),
        );
        it.register(
            "clock_believed",
            "Whether this host's clock is gone by; where not, the other servers' clocks are",
            clock_believed.clone(),
        );
        it.register(
            "config_version",
            "Version of the cluster's configuration",
            config_version.clone(),
        );
        it.register(
            "config_in_force",
            "Whether it can be read here; else an earlier one is in force",
            config_in_force.clone(),
        );
        it.register_with_unit(
            "clock_offset",
            "This host's clock minus the time that is gone by",
            Unit::Seconds,
            clock_offset.clone(),
        );
        it.register_collector(Box::new(Engine(broker.raft.clone())));
        it.register_collector(Box::new(Guesses(throttle)));
        it.register_collector(Box::new(Standing { broker: broker.clone(), held }));
        Self {
            registry,
            starts,
            connects,
            sessions,
            agents,
            relayed,
            serving,
            free_space,
            clock_believed,
            config_version,
            config_in_force,
            clock_offset,
            expiries,
            web,
        }
    }

    /// A start was answered.
    pub fn start(&self, took: Duration, ok: bool) {
        self.starts.get_or_create(&outcome(ok)).observe(took.as_secs_f64());
    }

    /// A connect was answered.
    pub fn connect(&self, took: Duration, ok: bool) {
        self.connects.get_or_create(&outcome(ok)).observe(took.as_secs_f64());
    }

    /// All of it, in Prometheus's text format.
    pub fn render(&self, broker: &Broker) -> String {
        self.look(broker);
        abide_telemetry::render(&self.registry)
    }

    fn look(&self, broker: &Broker) {
        let replica = broker.raft.latest();
        let mut counts =
            [("reserved", 0), ("starting", 0), ("running", 0), ("ending", 0), ("ended", 0)];
        for session in replica.0.sessions() {
            let at = match session.state {
                State::Reserved => 0,
                State::Starting => 1,
                State::Running => 2,
                State::Ending { .. } => 3,
                State::Superseded { .. } | State::Ended { .. } => 4,
            };
            counts[at].1 += 1;
        }
        for (state, count) in counts {
            self.sessions.get_or_create(&InState { state }).set(count);
        }
        let reachable =
            |agent: &&std::sync::Arc<abide_model::Agent>| agent.reach == Reach::Reachable;
        let all = replica.0.agents().count();
        let heard = replica.0.agents().filter(reachable).count();
        for (reachable, count) in [("true", heard), ("false", all - heard)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.agents.get_or_create(&Reached { reachable }).set(count);
        }
        self.relayed.set(i64::try_from(broker.hub.relayed()).unwrap_or(i64::MAX));
        self.serving.set(i64::from(broker.raft.leadership().borrow().is_serving()));
        let clock = broker.clock.standing();
        self.clock_believed.set(i64::from(clock.trust == Trust::Own));
        let version = replica.0.config().number;
        self.config_version.set(i64::try_from(version).unwrap_or(i64::MAX));
        self.config_in_force.set(i64::from(broker.policy_problem().is_none()));
        self.clock_offset.set(clock.offset_ms as f64 / 1000.0);
        self.expiries.set("node", broker.identity.expires_at());
        self.web.iter().for_each(|it| self.expiries.set("web", it.expires_at()));
        self.free_space.set(i64::try_from(broker.raft.free_space()).unwrap_or(i64::MAX));
    }
}

fn outcome(ok: bool) -> Outcome {
    Outcome { outcome: if ok { "ok" } else { "failed" } }
}
