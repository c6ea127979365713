//! The streams to the brokers: one to each that is known, for ever.

mod dial;
mod hello;
mod link;

use std::collections::HashMap;
use std::sync::Arc;

use rustls::ClientConfig;
use tokio::task::{AbortHandle, JoinSet};

pub(crate) use dial::dial;
use link::Link;

use crate::clock::Clocks;
use crate::cluster::Cluster;
use crate::metrics::Metrics;
use crate::owner::Handle;
use crate::policy::Policy;
use crate::settings::Settings;

/// What all streams share.
#[derive(Clone)]
pub(crate) struct Streams {
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) owner: Handle,
    pub(crate) cluster: Cluster,
    pub(crate) policy: Policy,
    pub(crate) clocks: Arc<Clocks>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) boot: String,
}

impl Streams {
    /// Keeps a stream to every broker, as they come and go. Dropping the future ends them all.
    pub(crate) async fn keep(self) {
        let mut addresses = self.cluster.addresses();
        let mut links: HashMap<String, AbortHandle> = HashMap::new();
        let mut tasks = JoinSet::new();
        loop {
            let wanted = addresses.borrow_and_update().clone();
            for (_, gone) in links.extract_if(|address, _| !wanted.contains(address)) {
                gone.abort();
            }
            for address in wanted {
                links
                    .entry(address.clone())
                    .or_insert_with(|| tasks.spawn(Link::new(self.clone(), address).run()));
            }
            while tasks.try_join_next().is_some() {}
            if addresses.changed().await.is_err() {
                return;
            }
        }
    }
}
