//! A cluster with every server on a host of its own.

use std::path::Path;

use abide_cluster::{Binaries, Cluster, Network as Addresses, Options, Profile, WebTls};
use anyhow::ensure;

use crate::network::{Host, Network, PREFIX};
use crate::world::{PROGRAMS, ROOM};

/// The profile with a picture that never stands still; the default one shows nothing, for load.
pub const MOVING: &str = "moving";

/// The cluster, and the network it is on.
#[derive(Debug)]
pub struct Lab {
    /// Its servers. Dropped before the network.
    pub cluster: Cluster,
    /// Its hosts.
    pub network: Network,
    brokers: u8,
}

impl Lab {
    /// Makes the hosts and starts the cluster; returns when every agent is heard.
    ///
    /// # Errors
    /// What failed, with the last words of the process; and more than one broker, as long as
    /// brokers cannot join.
    pub async fn start(brokers: u8, agents: u8) -> anyhow::Result<Self> {
        ensure!(brokers == 1, "{brokers} brokers: this version's clusters have one");
        let numbers = (1..=brokers).chain(11..11 + agents);
        let network = Network::new(numbers)?;
        let scene = format!("{PROGRAMS}/abide-e2e-scene");
        let moving = Profile::new(MOVING, &[&scene]).bare();
        let options = Options {
            agents,
            dir: Some(Path::new(ROOM).join("cluster")),
            network: Addresses { prefix: PREFIX, base_port: 8443 },
            through: vec![Network::on().display().to_string()],
            tls: WebTls::Cluster,
            profiles: vec![Profile::plain(), moving],
            ..Options::with(Binaries::in_folder(PROGRAMS.into())?)
        };
        Ok(Self { cluster: Cluster::start(options).await?, network, brokers })
    }

    /// The brokers' hosts.
    pub fn brokers(&self) -> Vec<Host> {
        (1..=self.brokers).map(|number| Host { number }).collect()
    }

    /// The host of agent number `index`, from 0.
    pub fn agent(&self, index: u8) -> Host {
        Host { number: 11 + index }
    }
}
