//! A site: Abide on the hosts, set up from its package as an administrator does, and its people.

use std::net::Ipv4Addr;
use std::path::Path;

use abide_api::{JoinRole, SessionReply, SessionState, StartRequest, Want};
use abide_client::{Api, Brokers, LoggedIn, LoginError, Trust, WishKey};
use abide_cluster::{ensure_all_heard, ensure_all_vote};
use abide_tls::certificates_from_pem;
use anyhow::{Context, ensure};
use zeroize::Zeroizing;

use crate::host::Host;
use crate::hosts::Hosts;
use crate::person::{Person, Unexpected};

/// Members administer the cluster.
const ADMINISTRATORS: &str = "abide-admins";
/// A broker's port for people.
pub const BROKER: u16 = 443;
/// Its port for agents and brokers.
const INTERNAL: u16 = 7443;
/// An agent's port for people.
pub const AGENT: u16 = 8443;
/// A desktop that writes down what it is, then runs one program: see `desktop.sh`.
const DESKTOP: &str = include_str!("desktop.sh");
const DESKTOP_AT: &str = "/usr/local/bin/lab-desktop";

/// Which hosts are what.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// Brokers; the first makes the cluster.
    pub brokers: &'a [&'a str],
    /// Agents.
    pub agents: &'a [&'a str],
    /// Two brokers are a pair, with this for `takeover`.
    pub pair: Option<&'a str>,
}

/// A site whose hosts all have the package.
#[derive(Debug)]
pub struct Site {
    urls: Vec<String>,
    trust: Trust,
    /// The administrator's way to the brokers.
    pub admin: Api,
}

impl Site {
    /// Sets it up; returns when every broker counts and every agent is heard.
    ///
    /// # Errors
    /// The first step that failed.
    pub async fn found(lab: &Hosts, plan: Plan<'_>) -> anyhow::Result<Self> {
        Self::found_at(lab, plan, None).await
    }

    /// The same, with all brokers behind this one address, which a cluster manager will move. Until
    /// that runs, the address is on the first broker's host.
    ///
    /// # Errors
    /// The first step that failed.
    pub async fn found_behind(
        lab: &Hosts,
        plan: Plan<'_>,
        address: Ipv4Addr,
    ) -> anyhow::Result<Self> {
        let first = lab.host(plan.brokers.first().context("a site needs a broker")?);
        first.run(&format!("ip address add {address}/32 dev eth0"))?;
        let site = Self::found_at(lab, plan, Some(address)).await?;
        first.run(&format!("ip address delete {address}/32 dev eth0"))?;
        Ok(site)
    }

    async fn found_at(
        lab: &Hosts,
        plan: Plan<'_>,
        service: Option<Ipv4Addr>,
    ) -> anyhow::Result<Self> {
        let admin = Person::new("admin", "the admin's password");
        lab.on_each(|host| {
            host.run(&format!("groupadd --system {ADMINISTRATORS}"))?;
            add_person(host, &admin)?;
            host.run(&format!("usermod --append --groups {ADMINISTRATORS} {}", admin.name))?;
            host.write(DESKTOP_AT, DESKTOP)?;
            host.run(&format!("chmod 755 {DESKTOP_AT}")).map(drop)
        })?;
        let (first, others) = plan.brokers.split_first().context("a site needs a broker")?;
        let first = lab.host(first);
        first.write("/etc/abide/broker.toml", &broker_config(lab, first, plan, service))?;
        first.run("abide broker init")?;
        start_broker(first)?;
        let urls = plan.brokers.iter().map(|name| public_url(lab.host(name), service));
        let mut urls: Vec<String> = urls.collect();
        urls.dedup();
        let pem = first.run("cat /etc/abide/identity/broker/ca.pem")?;
        let ca = certificates_from_pem(&pem).and_then(|all| all.into_iter().next());
        let ca = ca.context("the cluster has no CA")?;
        let trust = Trust::Pinned(ca);
        let at_first = api(&urls[..1], &trust, &mut admin.clone()).await?;
        let at = format!("{}:{INTERNAL}", first.place.v4());
        for name in others {
            let (host, token) =
                (lab.host(name), at_first.join_token(JoinRole::Broker, None).await?);
            host.write("/etc/abide/broker.toml", &broker_config(lab, host, plan, service))?;
            let join = format!("abide broker join --broker {at} --token-file -");
            host.feed(&join, &token.token)?;
            start_broker(host)?;
        }
        for name in plan.agents {
            let (host, token) = (lab.host(name), at_first.join_token(JoinRole::Agent, None).await?);
            host.write("/etc/abide/agent.toml", &agent_config(host))?;
            let join = format!("abide agent join --broker {at} --token-file -");
            host.feed(&join, &token.token)?;
            host.run("systemctl enable --now abide-agent.service")?;
        }
        let site = Self { admin: api(&urls, &trust, &mut admin.clone()).await?, urls, trust };
        site.settle(lab, plan).await?;
        Ok(site)
    }

    /// Returns when every broker counts and every agent is heard.
    ///
    /// # Errors
    /// When that takes too long: who is missing.
    pub async fn settle(&self, lab: &Hosts, plan: Plan<'_>) -> anyhow::Result<()> {
        lab.wait_until_ok("every broker counts and every agent is heard", async || {
            let cluster = self.admin.cluster_by_leader().await.context("of its brokers")?;
            ensure_all_vote(&cluster, plan.brokers.len())?;
            let agents = self.admin.agents().await.context("of its agents")?.agents;
            ensure_all_heard(&agents, plan.agents.len())
        })
        .await
    }

    /// The API in this person's name.
    ///
    /// # Errors
    /// When the login is refused.
    pub async fn log_in(&self, person: &mut Person) -> anyhow::Result<Api> {
        api(&self.urls, &self.trust, person).await
    }

    /// The API with the token of somebody who is logged in; no line that others have used.
    ///
    /// # Errors
    /// When the cluster's CA cannot be used.
    pub fn anew(&self, token: &Zeroizing<String>) -> anyhow::Result<Api> {
        Ok(Api::new(client(&self.urls, &self.trust)?, token.clone()))
    }

    /// The bare login, at the broker of this number, from 0, alone.
    ///
    /// # Errors
    /// When it is refused: see [`refusal`].
    pub async fn log_in_at(
        &self,
        broker: usize,
        person: &mut Person,
    ) -> Result<LoggedIn, LoginError<Unexpected>> {
        let client = client(&self.urls[broker..=broker], &self.trust);
        let client = client.expect("the site's own addresses are good");
        let name = person.name.clone();
        client.login(&name, person).await
    }

    /// What a refused login says: its sentence, and the texts of PAM's modules.
    ///
    /// # Errors
    /// When the person was let in, or nobody answered.
    pub async fn refusal(&self, person: &mut Person) -> anyhow::Result<(String, Vec<String>)> {
        match self.log_in_at(0, person).await {
            Ok(_) => anyhow::bail!("{} was let in", person.name),
            Err(LoginError::Call(abide_client::CallError::Refused { problem, .. })) => {
                let texts = problem.messages.into_iter().map(|it| it.text).collect();
                Ok((problem.detail.unwrap_or(problem.title), texts))
            }
            Err(other) => Err(other.into()),
        }
    }
}

/// Makes the account on this host.
///
/// # Errors
/// When `useradd` or `chpasswd` fails.
pub fn add_person(host: &Host, person: &Person) -> anyhow::Result<()> {
    host.run(&format!("useradd --create-home --shell /bin/bash {}", person.name))?;
    host.feed("chpasswd", &format!("{}:{}\n", person.name, person.password())).map(drop)
}

/// A new desktop.
///
/// # Errors
/// When it does not start.
pub async fn start(api: &Api) -> anyhow::Result<SessionReply> {
    let request = StartRequest { profile: None, want: Want::Start };
    let reply = api.start(&request, &WishKey::random()).await?;
    ensure!(reply.session.state == SessionState::Running, "not running: {reply:?}");
    Ok(reply)
}

/// What this port of the host answers to whoever asks for `path` there, head and all.
///
/// # Errors
/// When nobody answers.
pub fn page(host: &Host, port: u16, path: &str) -> anyhow::Result<String> {
    let ask = format!("openssl s_client -quiet -connect 127.0.0.1:{port} 2>/dev/null");
    host.feed(&ask, &format!("GET {path} HTTP/1.0\r\n\r\n"))
}

async fn api(urls: &[String], trust: &Trust, person: &mut Person) -> anyhow::Result<Api> {
    let name = person.name.clone();
    let login = client(urls, trust)?.login(&name, person).await?;
    Ok(Api::new(client(urls, trust)?, login.token))
}

fn client(urls: &[String], trust: &Trust) -> anyhow::Result<Brokers> {
    let urls = urls.iter().map(|url| url.parse()).collect::<Result<Vec<_>, _>>()?;
    Brokers::new(urls, trust).context("the cluster's CA cannot be used")
}

fn url(host: &Host, port: u16) -> String {
    format!("https://{}:{port}", host.place.v4())
}

fn start_broker(host: &Host) -> anyhow::Result<()> {
    host.run("systemctl enable --now abide-broker.service").map(drop)
}

fn public_url(host: &Host, service: Option<Ipv4Addr>) -> String {
    format!("https://{}:{BROKER}", service.unwrap_or_else(|| host.place.v4()))
}

fn broker_config(lab: &Hosts, host: &Host, plan: Plan<'_>, service: Option<Ipv4Addr>) -> String {
    let mut text = format!(
        "public_url = \"{}\"\nagent_address = \"{}:{INTERNAL}\"\n[listen]\nhttp = \
         \"0.0.0.0:{BROKER}\"\nagents = \"0.0.0.0:{INTERNAL}\"\n[login]\nadmin_groups = \
         [\"{ADMINISTRATORS}\"]\n",
        public_url(host, service),
        host.place.v4(),
    );
    let peer = plan.brokers.iter().find(|name| **name != host.name);
    if let (Some(takeover), Some(peer)) = (plan.pair, peer) {
        let peer = lab.host(peer).place.v4();
        text += &format!("[pair]\npeer = \"{peer}:{INTERNAL}\"\ntakeover = \"{takeover}\"\n");
    }
    text
}

fn agent_config(host: &Host) -> String {
    format!(
        "public_url = \"{}\"\nrun_as = \"login-user\"\n[listen]\nhttp = \
         \"0.0.0.0:{AGENT}\"\n[[profile]]\nname = \"clock\"\ntitle = \"A clock\"\ncommand = \
         [\"{DESKTOP_AT}\"]\n",
        url(host, AGENT),
    )
}

/// What the desktop of this session wrote down under this name.
///
/// # Errors
/// When it is not there.
pub fn fact(host: &Host, person: &Person, session: &str, name: &str) -> anyhow::Result<String> {
    let path = format!("/home/{}/facts-{session}/{name}", person.name);
    let file = host.file(&path);
    let text = std::fs::read_to_string(Path::new(&file)).with_context(|| format!("no {path}"))?;
    Ok(text.trim().to_owned())
}
