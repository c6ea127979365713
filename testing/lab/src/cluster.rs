//! A cluster with every server on a host of its own.

use std::path::Path;
use std::time::Duration;

use abide_client::Api;
use abide_cluster::{Binaries, Cluster, Network as Addresses, Options, Profile, WebTls, until};

use crate::network::{Host, Network, PREFIX};
use crate::world::{PROGRAMS, ROOM};

/// The profile with a picture that never stands still; the default one shows nothing, for load.
pub const MOVING: &str = "moving";

/// From the last broker's start until it has caught up and counts again, on a slow machine.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// Who leads, and since which election.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reign {
    /// The leader's id.
    pub leader: String,
    /// Raft's term.
    pub term: u64,
}

/// The cluster, and the network it is on.
#[derive(Debug)]
pub struct Lab {
    /// Its servers. Dropped before the network.
    pub cluster: Cluster,
    /// Its hosts.
    pub network: Network,
    /// The administrator's way to all brokers.
    pub admin: Api,
    brokers: u8,
}

impl Lab {
    /// Makes the hosts and starts the cluster; returns when it has [settled](Lab::settle) and every
    /// agent is heard.
    ///
    /// # Errors
    /// What failed, with the last words of the process.
    pub async fn start(brokers: u8, agents: u8) -> anyhow::Result<Self> {
        let numbers = (1..=brokers).chain(11..11 + agents);
        let network = Network::new(numbers)?;
        let scene = format!("{PROGRAMS}/abide-e2e-scene");
        let moving = Profile::new(MOVING, &[&scene]).bare();
        let options = Options {
            brokers,
            agents,
            dir: Some(Path::new(ROOM).join("cluster")),
            network: Addresses { prefix: PREFIX, base_port: 8443 },
            through: vec![Network::on().display().to_string()],
            tls: WebTls::Cluster,
            profiles: vec![Profile::plain(), moving],
            ..Options::with(Binaries::in_folder(PROGRAMS.into())?)
        };
        let cluster = Cluster::start(options).await?;
        let admin = cluster.log_in(cluster.admin()).await?;
        let lab = Self { cluster, network, admin, brokers };
        lab.settle().await?;
        Ok(lab)
    }

    /// Returns when every broker counts: as many may fail as their number allows.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn settle(&self) -> anyhow::Result<()> {
        let most = u32::from(self.brokers.saturating_sub(1) / 2);
        let settled = until("all brokers count", SETTLED_WITHIN, async || {
            self.admin
                .cluster()
                .await
                .ok()
                .filter(|now| now.leader.is_some() && now.can_lose == most)
        });
        settled.await.map(drop)
    }

    /// Who leads now, once somebody does.
    ///
    /// # Errors
    /// When nobody does in time.
    pub async fn reign(&self) -> anyhow::Result<Reign> {
        until("a broker leads", SETTLED_WITHIN, async || {
            let now = self.admin.cluster().await.ok()?;
            Some(Reign { leader: now.leader?, term: now.term })
        })
        .await
    }

    /// The index of the broker that leads, from 0.
    ///
    /// # Errors
    /// When none does in time.
    pub async fn leader(&self) -> anyhow::Result<usize> {
        self.cluster.leader(&self.admin).await
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
