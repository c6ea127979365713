//! What the agent knows of its cluster: whose signatures count, where the brokers are.

use std::collections::BTreeSet;
use std::sync::Arc;

use abide_config::BaseUrl;
use abide_model::{ClusterId, Timestamp};
use abide_ticket::{KeyRing, VerifyingKey};
use abide_wire::agent::{Broker, ClusterView};
use arc_swap::ArcSwap;
use prost::Message;
use tokio::sync::watch;
use tracing::warn;

/// One state of the cluster.
#[derive(Debug)]
pub(crate) struct View {
    /// The brokers' keys.
    pub(crate) ring: KeyRing,
    /// Their certificates, for the launcher.
    pub(crate) certificates: Vec<String>,
    /// Their public URLs.
    pub(crate) urls: Vec<String>,
    /// The origins of their pages.
    origins: Vec<String>,
    /// All of it, as it was told.
    told: ClusterView,
}

impl View {
    /// Whether a page of this origin is a broker's.
    pub(crate) fn is_brokers(&self, origin: &str) -> bool {
        self.origins.iter().any(|known| known == origin)
    }
}

/// The cluster as it was told last. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    id: ClusterId,
    root: VerifyingKey,
    view: Arc<ArcSwap<View>>,
    addresses: watch::Sender<Vec<String>>,
}

impl Cluster {
    /// The cluster as the ledger has it. `known` are the brokers' addresses from when the agent
    /// joined; they count until a broker has told more.
    pub(crate) fn restored(
        id: ClusterId,
        root: VerifyingKey,
        stored: &[u8],
        known: Vec<String>,
    ) -> Result<Self, prost::DecodeError> {
        let mut told = ClusterView::decode(stored)?;
        // Empty in what was stored before views named their cluster.
        if !told.cluster.is_empty() && told.cluster != id.to_string() {
            warn!(was = told.cluster, "This agent belongs to another cluster now");
            told = ClusterView::default();
        }
        let view = Arc::new(ArcSwap::from_pointee(view(id, root, &told)));
        let cluster = Self { id, root, view, addresses: watch::Sender::new(known) };
        cluster.dial(&told.brokers);
        Ok(cluster)
    }

    /// The cluster now.
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Where the brokers listen for agents, `host:port`.
    pub(crate) fn addresses(&self) -> watch::Receiver<Vec<String>> {
        self.addresses.subscribe()
    }

    /// What was told last, for brokers that have lost it.
    pub(crate) fn last_told(&self) -> ClusterView {
        self.view.load().told.clone()
    }

    /// Takes in what a broker told; whether that is new. A broker's key that is not in it is not
    /// believed any more. What is older than what is known is not taken: it comes from a broker that
    /// lags behind, or from one that was removed.
    pub(crate) fn told(&self, told: &ClusterView) -> bool {
        let known = self.view.load();
        if known.told == *told || version(told) < version(&known.told) {
            return false;
        }
        self.view.store(Arc::new(view(self.id, self.root, told)));
        self.dial(&told.brokers);
        true
    }

    fn dial(&self, brokers: &[Broker]) {
        let mut addresses: Vec<_> = brokers.iter().map(|it| it.agent_address.clone()).collect();
        addresses.retain(|address| !address.is_empty());
        addresses.sort();
        addresses.dedup();
        // A view without brokers is a broken one: those that are known are better than none.
        if !addresses.is_empty() {
            self.addresses.send_if_modified(|known| {
                let changed = *known != addresses;
                *known = addresses;
                changed
            });
        }
    }
}

/// The order of views. One of a broker that does not number them yet is the oldest.
fn version(told: &ClusterView) -> (u64, u64, u64) {
    let version = told.version.unwrap_or_default();
    (version.generation, version.claimant, version.revision)
}

fn view(id: ClusterId, root: VerifyingKey, told: &ClusterView) -> View {
    let mut ring = KeyRing::new(id, root);
    let mut current = BTreeSet::new();
    for certificate in &told.key_certificates {
        match ring.admit(certificate) {
            Ok(id) => drop(current.insert(id)),
            Err(cause) => {
                let cause = &cause as &dyn std::error::Error;
                warn!(cause, "A broker's key is not certified by the cluster's root");
            }
        }
    }
    for key in &told.withdrawn {
        match ring.admit(&key.certificate) {
            Ok(id) if current.contains(&id) => {}
            Ok(id) => ring.withdraw(id, Timestamp(key.at_ms)),
            Err(cause) => {
                let cause = &cause as &dyn std::error::Error;
                warn!(cause, "A gone broker's key is not certified by the cluster's root");
            }
        }
    }
    let parsed = told.brokers.iter().filter_map(|broker| broker.public_url.parse().ok());
    let origins = parsed.map(|url: BaseUrl| url.origin()).collect();
    let urls = told.brokers.iter().map(|broker| broker.public_url.clone()).collect();
    View { ring, certificates: told.key_certificates.clone(), urls, origins, told: told.clone() }
}

#[cfg(test)]
mod tests {
    use abide_ticket::SigningKey;
    use abide_wire::agent::Version;

    use super::*;

    fn id(text: &str) -> ClusterId {
        text.parse().unwrap()
    }

    const ONE: &str = "11111111-1111-4111-8111-111111111111";
    const OTHER: &str = "22222222-2222-4222-8222-222222222222";

    fn told(generation: u64, revision: u64, address: &str) -> ClusterView {
        let broker = Broker { agent_address: address.into(), ..Broker::default() };
        ClusterView {
            brokers: vec![broker],
            version: Some(Version { generation, claimant: 0, revision }),
            cluster: ONE.into(),
            ..ClusterView::default()
        }
    }

    fn restored(cluster: &str, stored: &ClusterView) -> Cluster {
        let root = SigningKey::from_seed(&[1; 32]).verifying_key();
        let known = vec!["first:1".to_owned()];
        Cluster::restored(id(cluster), root, &stored.encode_to_vec(), known).unwrap()
    }

    #[test]
    fn an_older_view_is_not_taken() {
        let cluster = restored(ONE, &told(1, 5, "a:1"));
        assert!(!cluster.told(&told(1, 4, "b:1")), "an older revision was taken");
        assert!(!cluster.told(&told(0, 9, "b:1")), "an older generation was taken");
        assert!(!cluster.told(&told(1, 5, "a:1")), "the same is no news");
        assert_eq!(*cluster.addresses().borrow(), ["a:1"]);
        assert!(cluster.told(&told(1, 6, "c:1")));
        assert!(cluster.told(&told(2, 1, "d:1")), "a new generation counts anew");
        assert_eq!(*cluster.addresses().borrow(), ["d:1"]);
    }

    #[test]
    fn what_another_cluster_told_is_dropped() {
        let cluster = restored(OTHER, &told(7, 7, "old:1"));
        assert_eq!(*cluster.addresses().borrow(), ["first:1"]);
        assert!(cluster.told(&ClusterView { cluster: OTHER.into(), ..told(0, 1, "new:1") }));
    }
}
