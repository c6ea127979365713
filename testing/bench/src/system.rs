//! Abide itself: a cluster of real processes with one agent, and somebody who is logged in.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use abide_api::{SessionReply, StartRequest, Want};
use abide_client::{Api, Brokers, OneSecret, WishKey};
use abide_cluster::{AgentServer, Cluster, Options, WebTls};
use abide_desktop::SessionFolder;
use anyhow::{Context, ensure};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use crate::program::{self, DEADLINE, GLANCE, ProcError};
use crate::rfb::{Line, Relay, Security, Trust, WebSocket};

/// A running cluster, which ends with this value.
pub struct System {
    cluster: Cluster,
    api: Api,
    token: Zeroizing<String>,
    runtime: Runtime,
}

impl System {
    /// Starts it with one broker, on a network of its own. The desktops are of one program.
    pub fn start(tls: WebTls) -> anyhow::Result<Self> {
        Self::start_with(tls, 1)
    }

    /// The same with so many brokers.
    pub fn start_with(tls: WebTls, brokers: u8) -> anyhow::Result<Self> {
        let runtime = Runtime::new()?;
        let (cluster, api, token) = runtime.block_on(async {
            let cluster =
                Cluster::start(Options { brokers, agents: 1, tls, ..Options::new()? }).await?;
            let user = cluster.add_user("alice")?;
            let brokers = Brokers::new(vec![cluster.broker().url.clone()], &cluster.trust()?)?;
            let mut secret = OneSecret(Zeroizing::new(user.password));
            let token = brokers.login(&user.name, &mut secret).await?.token;
            let api = Api::new(brokers, token.clone());
            anyhow::Ok((cluster, api, token))
        })?;
        Ok(Self { cluster, api, token, runtime })
    }

    /// Where the leading broker serves people, then the others.
    pub fn brokers(&self) -> anyhow::Result<Vec<SocketAddr>> {
        let leader = self.runtime.block_on(self.cluster.leader(&self.api))?;
        let mut all: Vec<_> = self.cluster.brokers().iter().collect();
        all.swap(0, leader);
        all.into_iter().map(|it| address(it.url.as_str())).collect()
    }

    /// The agent.
    pub fn agent(&self) -> anyhow::Result<&AgentServer> {
        self.cluster.agents().first().context("the cluster has no agent")
    }

    /// The agent daemon's process id.
    pub fn agent_pid(&self) -> anyhow::Result<u32> {
        self.agent()?.pid().context("the agent does not run")
    }

    /// The person's token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Starts another session, which runs when this returns.
    pub fn start_session(&self) -> anyhow::Result<SessionReply> {
        let request = StartRequest { profile: None, want: Want::Start };
        let key = WishKey::random();
        Ok(self.runtime.block_on(self.api.start(&request, &key))?)
    }

    /// Where the session's files are.
    pub fn session_folder(&self, session: &str) -> anyhow::Result<SessionFolder> {
        Ok(SessionFolder::new(self.agent()?.run_dir().join(session)))
    }

    /// Ends the session; nothing of it is there when this returns.
    pub fn end_session(&self, session: &str) -> anyhow::Result<()> {
        self.runtime.block_on(self.api.end(session))?;
        let folder = self.session_folder(session)?;
        let began = Instant::now();
        while folder.path().exists() {
            ensure!(began.elapsed() < DEADLINE, "{} does not go", folder.path().display());
            std::thread::sleep(GLANCE);
        }
        Ok(())
    }

    /// The agent as a relay to the session's display server.
    pub fn relay(&self, session: &str) -> anyhow::Result<AgentRelay<'_>> {
        let trust = Trust::new(self.cluster.ca_pem().as_bytes())?;
        Ok(AgentRelay { system: self, session: session.to_owned(), trust })
    }
}

/// See [`System::relay`].
pub struct AgentRelay<'s> {
    system: &'s System,
    session: String,
    trust: Trust,
}

impl Relay for AgentRelay<'_> {
    fn line(&self) -> anyhow::Result<Box<dyn Line>> {
        let key = WishKey::random();
        let reply = self.system.api.connect(&self.session, &key);
        let connect = self.system.runtime.block_on(reply)?.connect;
        let address = address(&connect.rfb_url)?;
        let authority = address.to_string();
        let (_, path) = connect.rfb_url.split_once(&authority).context("no path")?;
        let tls = self.trust.connect(address, &address.ip().to_string())?;
        Ok(Box::new(WebSocket::open(tls, &authority, path, Some(&connect.ticket))?))
    }

    fn security(&self) -> Security {
        Security::None
    }

    /// Of the daemon alone: the keepers are its children and no part of the relay.
    fn cpu(&self) -> Result<Duration, ProcError> {
        self.system.agent_pid().map_or(Ok(Duration::ZERO), program::cpu)
    }
}

/// The host and port of a URL that names both by number.
fn address(url: &str) -> anyhow::Result<SocketAddr> {
    let authority = url.split("//").nth(1).and_then(|rest| rest.split('/').next());
    let address = authority.and_then(|it| it.parse().ok());
    address.with_context(|| format!("{url} has no address"))
}
