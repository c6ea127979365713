//! A cluster with every server on a host of its own.

use std::path::Path;
use std::time::Duration;

use abide_api::ConfigRequest;
use abide_client::Api;
use abide_cluster::{Binaries, Cluster, Network as Addresses, Options, Profile, WebTls, until};

use crate::floating;
use crate::network::{Host, Network, PREFIX};
use crate::slow::{Line, lengthen};
use crate::world::{PROGRAMS, ROOM};

/// The profile with a picture that never stands still; the default one shows nothing, for load.
pub const MOVING: &str = "moving";

/// From the last broker's start until it has caught up and counts again, on a slow machine.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// What kind of lab is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many brokers.
    pub brokers: u8,
    /// How many agents.
    pub agents: u8,
    /// The brokers are far from each other, and their timings are those for slow networks.
    pub is_far: bool,
}

impl Plan {
    /// Its hosts, with nothing on them yet: the brokers' first.
    ///
    /// # Errors
    /// When a step of their making fails.
    pub fn hosts(self) -> anyhow::Result<Network> {
        Network::new((1..=self.brokers).chain(11..11 + self.agents))
    }
}

/// Between two brokers that are far from each other: a round trip of 200 ms, 2 % of the frames lost.
/// Each frame passes two such lines.
const FAR: Line = Line { delay: Duration::from_millis(50), lost_per_mille: 10 };

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

/// What each broker's configuration says besides its addresses.
fn settings(plan: Plan) -> String {
    let timing = if plan.is_far { "slow" } else { "lan" };
    let address = if plan.brokers > 2 { floating::settings() } else { String::new() };
    format!("[cluster]\ntiming = \"{timing}\"\n{address}")
}

impl Lab {
    /// Makes the hosts and starts the cluster; see [`Lab::start_on`].
    ///
    /// # Errors
    /// What failed.
    pub async fn start(plan: Plan) -> anyhow::Result<Self> {
        Self::start_on(plan.hosts()?, plan).await
    }

    /// Starts the cluster on these [hosts](Plan::hosts); returns when it has [settled](Lab::settle) and
    /// every agent is heard.
    ///
    /// # Errors
    /// What failed, with the last words of the process.
    pub async fn start_on(network: Network, plan: Plan) -> anyhow::Result<Self> {
        let Plan { brokers, agents, is_far } = plan;
        for &host in network.hosts().iter().filter(|it| is_far && it.number <= brokers) {
            lengthen(host, FAR)?;
        }
        let scene = format!("{PROGRAMS}/abide-e2e-scene");
        let moving = Profile::new(MOVING, &[&scene]).bare();
        let options = Options {
            brokers,
            agents,
            dir: Some(Path::new(ROOM).join("cluster")),
            network: Addresses { prefix: PREFIX, base_port: floating::PORT },
            through: vec![Network::on().display().to_string()],
            tls: WebTls::Cluster,
            profiles: vec![Profile::plain(), moving],
            broker_config: settings(plan),
            ..Options::with(Binaries::in_folder(PROGRAMS.into())?)
        };
        let cluster = Cluster::start(options).await?;
        let admin = cluster.log_in(cluster.admin()).await?;
        let lab = Self { cluster, network, admin, brokers };
        lab.settle().await?;
        lab.bear_pressure().await?;
        Ok(lab)
    }

    /// All its hosts are one machine: what presses it would be taken for one host's trouble or another's, as
    /// they happen to measure it.
    async fn bear_pressure(&self) -> anyhow::Result<()> {
        let text = "[pressure]\ncpu = 100\nmemory = 100\nmemory_left = 0\n".to_owned();
        let request = ConfigRequest { base: 0, text, note: None };
        self.admin.put_config(&request).await?;
        Ok(())
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
