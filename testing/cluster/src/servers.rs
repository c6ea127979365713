//! The servers of a cluster: their folders, configurations and identities.

use std::path::{Path, PathBuf};

use abide_config::BaseUrl;
use abide_tls::{Identity, Node};
use anyhow::Context;

use crate::options::{Options, Setting, WebTls};
use crate::process::{Process, run};
use crate::sessions::{self, Keeper};

/// A broker.
#[derive(Debug)]
pub struct BrokerServer {
    /// Its id in the cluster.
    pub id: String,
    /// What it is called here: `broker1` and so on.
    pub name: String,
    /// Where people reach it.
    pub url: BaseUrl,
    /// Where agents and other brokers reach it, `host:port`.
    pub agent_address: String,
    /// Its configuration, identity, data and log.
    pub dir: PathBuf,
    pub(crate) process: Process,
}

/// An agent.
#[derive(Debug)]
pub struct AgentServer {
    /// Its id in the cluster.
    pub id: String,
    /// Its name in the cluster.
    pub name: String,
    /// Where people reach it.
    pub url: BaseUrl,
    /// Its configuration, identity, data, sessions' folders and log.
    pub dir: PathBuf,
    pub(crate) process: Process,
}

impl BrokerServer {
    /// The process id, if it was started.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// What it said last.
    pub fn last_words(&self) -> String {
        self.process.last_words()
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.join("broker.toml")
    }
}

impl AgentServer {
    /// The daemon's process id, if it was started.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// What the daemon said last.
    pub fn last_words(&self) -> String {
        self.process.last_words()
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.join("agent.toml")
    }

    /// Where the sessions' folders are.
    pub fn run_dir(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// The ids of the sessions that have a folder here, living or not.
    pub fn session_folders(&self) -> Vec<String> {
        sessions::ids(&self.run_dir())
    }

    /// The keepers that live here.
    pub fn keepers(&self) -> Vec<Keeper> {
        let ids = self.session_folders();
        ids.iter().filter_map(|id| self.keeper(id).ok()).collect()
    }

    /// The session's keeper, and what it keeps.
    ///
    /// # Errors
    /// When none answers.
    pub fn keeper(&self, session: &str) -> anyhow::Result<Keeper> {
        sessions::keeper(&self.run_dir(), session)
    }

    /// Every process of the session.
    pub fn session_processes(&self, session: &str) -> Vec<u32> {
        sessions::all_processes(&self.run_dir(), session)
    }
}

/// How a broker comes by its identity.
pub(crate) enum Entry<'a> {
    /// It makes the cluster.
    First,
    /// It joins by a token, at another's internal address.
    Joins { at: &'a str, token: &'a str },
}

/// Makes broker number `index`, from 0, and its identity; starts nothing.
pub(crate) fn make_broker(
    options: &Options,
    dir: &Path,
    index: u8,
    entry: &Entry<'_>,
) -> anyhow::Result<BrokerServer> {
    let name = format!("broker{}", index + 1);
    let own = dir.join(&name);
    std::fs::create_dir(&own)?;
    let (http, agents) = (options.network.broker(index), options.network.broker_for_agents(index));
    let url = url_of(options, &http.to_string())?;
    let config = own.join("broker.toml");
    let users = dir.join("users.toml");
    let mut table: toml::Table = options.broker_config.parse()?;
    set(&mut table, "data_dir", text(&own.join("data"))?);
    set(&mut table, "identity_dir", text(&own.join("identity"))?);
    set(&mut table, "public_url", url.as_str());
    let listen = [("http", options.listen(http)), ("agents", agents.to_string())];
    table.insert("listen".to_owned(), section(&listen));
    table.insert("tls".to_owned(), section(&[("mode", options.tls.mode().to_owned())]));
    let login = [("backend", "users-file".to_owned()), ("users_file", text(&users)?.to_owned())];
    table.insert("login".to_owned(), section(&login));
    set(&mut table, "run_dir", text(&own.join("run"))?);
    if let Some(takeover) = options.pair {
        let peer = options.network.broker_for_agents(1 - index).to_string();
        let pair = [("peer", peer), ("takeover", takeover.to_owned())];
        table.insert("pair".to_owned(), section(&pair));
    }
    std::fs::write(&config, toml::to_string(&table)?)?;
    let (abide, on_host) = (&options.binaries.abide, options.on(http.ip()));
    let config_text = text(&config)?;
    match *entry {
        Entry::First => run(&on_host, abide, &["broker", "init", "--config", config_text], "")?,
        Entry::Joins { at, token } => {
            let join = ["broker", "join", "--config", config_text, "--broker", at];
            run(&on_host, abide, &[&join[..], &["--token-file", "-"]].concat(), token)?
        }
    };
    let arguments = ["broker", "--config", text(&config)?];
    let process = Process::new(on_host, abide, &arguments, own.join("broker.log"));
    let id = node_id(&own.join("identity"))?;
    Ok(BrokerServer { id, name, url, agent_address: agents.to_string(), dir: own, process })
}

pub(crate) fn make_agent(options: &Options, dir: &Path, index: u8) -> anyhow::Result<AgentServer> {
    let name = format!("agent{}", index + 1);
    let own = dir.join(&name);
    std::fs::create_dir(&own)?;
    let address = options.network.agent(index);
    let listen = address.to_string();
    let url = url_of(options, &listen)?;
    let mut table: toml::Table = options.agent_config.parse()?;
    for (key, value) in [("name", name.as_str()), ("public_url", url.as_str())] {
        set(&mut table, key, value);
    }
    for (key, folder) in [("identity_dir", "identity"), ("data_dir", "data"), ("run_dir", "run")] {
        set(&mut table, key, text(&own.join(folder))?);
    }
    set(&mut table, "run_as", "agent-user");
    set(&mut table, "keeper", text(&options.binaries.keeper)?);
    table.insert("listen".to_owned(), section(&[("http", listen)]));
    table.insert("tls".to_owned(), section(&[("mode", options.tls.mode().to_owned())]));
    let profiles = options.profiles.iter().map(|profile| {
        let mut table = toml::Table::new();
        set(&mut table, "name", &profile.name);
        set(&mut table, "title", &profile.title);
        let command = profile.command.iter().map(|word| word.as_str().into());
        table.insert("command".to_owned(), toml::Value::Array(command.collect()));
        table.insert("plain".to_owned(), (profile.setting == Setting::Bare).into());
        toml::Value::Table(table)
    });
    table.insert("profile".to_owned(), toml::Value::Array(profiles.collect()));
    let config = own.join("agent.toml");
    std::fs::write(&config, toml::to_string(&table)?)?;
    let arguments = ["agent", "--config", text(&config)?];
    let on_host = options.on(address.ip());
    let process = Process::new(on_host, &options.binaries.abide, &arguments, own.join("agent.log"));
    // Known once it has joined.
    let id = String::new();
    Ok(AgentServer { id, name, url, dir: own, process })
}

pub(crate) fn node_id(identity_dir: &Path) -> anyhow::Result<String> {
    Ok(match &Identity::load(identity_dir)?.peer().node {
        Node::Broker(id) => id.to_string(),
        Node::Agent(id) => id.to_string(),
    })
}

fn url_of(options: &Options, authority: &str) -> anyhow::Result<BaseUrl> {
    let scheme = match options.tls {
        WebTls::Off => "http",
        WebTls::Cluster => "https",
    };
    Ok(format!("{scheme}://{authority}").parse()?)
}

fn set(table: &mut toml::Table, key: &str, value: &str) {
    table.insert(key.to_owned(), value.into());
}

fn section(pairs: &[(&str, String)]) -> toml::Value {
    let mut table = toml::Table::new();
    for (key, value) in pairs {
        set(&mut table, key, value);
    }
    toml::Value::Table(table)
}

pub(crate) fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
