//! What the agent knows of its cluster: whose signatures count, where the brokers are.

use std::sync::Arc;

use abide_config::BaseUrl;
use abide_model::ClusterId;
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
        let told = ClusterView::decode(stored)?;
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

    /// Takes in what a broker told; whether that is new. A broker's key that is not in it is not
    /// believed any more.
    pub(crate) fn told(&self, told: &ClusterView) -> bool {
        if self.view.load().told == *told {
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

fn view(id: ClusterId, root: VerifyingKey, told: &ClusterView) -> View {
    let mut ring = KeyRing::new(id, root);
    for certificate in &told.key_certificates {
        if let Err(cause) = ring.admit(certificate) {
            let cause = &cause as &dyn std::error::Error;
            warn!(cause, "A broker's key is not certified by the cluster's root");
        }
    }
    let parsed = told.brokers.iter().filter_map(|broker| broker.public_url.parse().ok());
    let origins = parsed.map(|url: BaseUrl| url.origin()).collect();
    let urls = told.brokers.iter().map(|broker| broker.public_url.clone()).collect();
    View { ring, certificates: told.key_certificates.clone(), urls, origins, told: told.clone() }
}
