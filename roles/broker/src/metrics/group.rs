//! How this broker stands to the others, at the moment of asking. What is not known is left out: only
//! a leader knows of lags, round trips and a quorum.

use std::fmt;

use abide_address::Held;
use abide_raft::{NodeId, Role};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::engine::put;
use crate::broker::Broker;

/// See the module.
pub(super) struct Standing {
    pub(super) broker: Broker,
    pub(super) held: Option<Held>,
}

impl Collector for Standing {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (to, raft) = (&mut encoder, &self.broker.raft);
        let status = raft.status();
        let leads = raft.leadership().borrow().role != Role::Following;
        let others = |node: &NodeId| {
            let peer = status.members.nodes.get(node).filter(|_| leads && *node != raft.node());
            peer.map(|peer| Some(("broker", peer.name.clone())))
        };

        let own = ConstGauge::new(status.log.saturating_sub(status.applied));
        let about = "Entries of this broker's log that are not applied yet";
        put(to, "applied_lag_entries", about, None, &own)?;
        let lags = status.lag.iter().filter_map(|(node, lag)| Some((others(node)?, *lag)));
        let about = "Entries that a broker's log lacks, as the leader knows";
        gauges(to, "replication_lag_entries", about, None, lags)?;
        let trips = raft.meters().round_trips().into_iter();
        let trips = trips.filter_map(|(node, it)| Some((others(&node)?, it.as_secs_f64())));
        let about = "Time until a broker answers the leader's heartbeat, smoothed";
        gauges(to, "peer_round_trip", about, Some(&Unit::Seconds), trips)?;
        let age = raft.quorum_age().map(|age| (None, age.as_secs_f64())).into_iter();
        let about = "Time since a majority last acknowledged this leader";
        gauges(to, "quorum_acknowledgement_age", about, Some(&Unit::Seconds), age)?;
        let group = self.broker.group();
        let of_leader = |it: u32| raft.quorum_age().map(|_| (None, u64::from(it))).into_iter();
        let about = "How many more brokers may fail before starts and reconnects stop";
        gauges(to, "can_lose", about, None, of_leader(group.can_lose()))?;
        gauges(to, "voters", "Brokers that vote", None, of_leader(group.voters()))?;
        let generation = ConstGauge::new(self.broker.generation());
        let about = "Forced takeovers of the cluster, as far as this broker's data know";
        put(to, "generation", about, None, &generation)?;
        let wire = ConstGauge::new(u64::from(raft.latest().0.wire().0));
        let about = "The wire version that all brokers have come to, as far as this one knows";
        put(to, "wire_version", about, None, &wire)?;
        let pair = &self.broker.pair;
        let of_pair = |it: bool| pair.settings().map(|_| (None, u64::from(it))).into_iter();
        let about = "Whether the cluster manager wants this broker of a pair to serve";
        gauges(to, "activated", about, None, of_pair(pair.record().is_ordered()))?;
        let about = "Whether the other broker of a pair answers";
        gauges(to, "peer_answers", about, None, of_pair(pair.told().answers()))?;
        let held = self.held.iter().flat_map(Held::addresses);
        let held = held.map(|(ip, held)| (Some(("address", ip.to_string())), u64::from(held)));
        gauges(to, "service_address_held", "Whether the address is on this host", None, held)
    }
}

/// One gauge for each label; told of, too, when there is none.
fn gauges<V: EncodeGaugeValue>(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    about: &str,
    unit: Option<&Unit>,
    each: impl Iterator<Item = (Option<(&'static str, String)>, V)>,
) -> fmt::Result {
    let mut encoder = to.encode_descriptor(name, about, unit, MetricType::Gauge)?;
    for (label, value) in each {
        match label {
            Some(label) => encoder.encode_family(&[label])?.encode_gauge(&value)?,
            None => encoder.encode_gauge(&value)?,
        }
    }
    Ok(())
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Standing")
    }
}
