//! What kind of cluster is wanted.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::{Binaries, Network};

/// What kind of cluster is wanted.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many brokers, 1 to 9. The first makes the cluster, the others join it.
    pub brokers: u8,
    /// How many agents, up to 200.
    pub agents: u8,
    /// Where everything lies; a temporary folder if `None`. Sockets lie below it, so it must be
    /// short: 50 bytes at most.
    pub dir: Option<PathBuf>,
    /// The addresses.
    pub network: Network,
    /// The command through which everything of a server is run on its host: it gets the server's
    /// address, then program and arguments, and becomes that program (`exec`). Empty: all servers
    /// share this host.
    pub through: Vec<String>,
    /// How browsers are served.
    pub tls: WebTls,
    /// What agents offer; the first is the default.
    pub profiles: Vec<Profile>,
    /// The programs.
    pub binaries: Binaries,
    /// TOML that is put before the rest of each broker's configuration.
    pub broker_config: String,
    /// The same for agents.
    pub agent_config: String,
    /// Two brokers are a pair that takes over so: `fenced` or `unfenced`.
    pub pair: Option<&'static str>,
    /// Hears what has been done while the cluster starts, a line at a time.
    pub tell: fn(&str),
}

/// How browsers are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebTls {
    /// Plain HTTP.
    Off,
    /// By certificates of the cluster's CA.
    Cluster,
}

impl WebTls {
    /// As configuration files name it.
    pub(crate) fn mode(self) -> &'static str {
        match self {
            WebTls::Off => "off",
            WebTls::Cluster => "cluster",
        }
    }
}

/// A kind of desktop.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// For people.
    pub title: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// What stands around it.
    pub setting: Setting,
}

/// What stands around a profile's command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// The host's Xsession and a bus of its own, as a desktop needs.
    Session,
    /// Nothing.
    Bare,
}

impl Profile {
    /// A profile of this command, titled as it is named.
    pub fn new(name: &str, command: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            title: name.to_owned(),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            setting: Setting::Session,
        }
    }

    /// The same under a title for people.
    #[must_use]
    pub fn titled(self, title: &str) -> Self {
        Self { title: title.to_owned(), ..self }
    }

    /// XFCE, with something on it that moves, so that one sees it live.
    pub fn xfce() -> Self {
        // Counted from the left, since the screen takes the viewer's size only after a while; beside a first
        // terminal.
        let moving = "xclock -update 0.1 -geometry 180x180+850+60 & exec startxfce4";
        Self::new("xfce", &["/bin/sh", "-c", moving]).titled("Desktop (XFCE)")
    }

    /// The same without anything around its command.
    #[must_use]
    pub fn bare(self) -> Self {
        Self { setting: Setting::Bare, ..self }
    }

    /// One program that shows nothing, and ends when it is told to: for load tests.
    pub fn plain() -> Self {
        Self::new("plain", &["sleep", "infinity"]).bare()
    }
}

impl Options {
    /// The command that runs something on the host with this address.
    pub(crate) fn on(&self, host: IpAddr) -> Vec<String> {
        let address = (!self.through.is_empty()).then(|| host.to_string());
        self.through.iter().cloned().chain(address).collect()
    }

    /// Where a broker listens for people: on a host of its own at every address, also one that comes
    /// and goes.
    pub(crate) fn listen(&self, address: SocketAddr) -> String {
        match self.through.is_empty() {
            true => address.to_string(),
            false => SocketAddr::from(([0, 0, 0, 0], address.port())).to_string(),
        }
    }

    /// [`Options::with`], with the programs beside this one.
    ///
    /// # Errors
    /// When they have not been built.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self::with(Binaries::beside_this_program()?))
    }

    /// One broker, two agents with the profile `plain`, plain HTTP, on a network of their own, in a temporary
    /// folder.
    pub fn with(binaries: Binaries) -> Self {
        Self {
            brokers: 1,
            agents: 2,
            dir: None,
            network: Network::random(),
            through: Vec::new(),
            tls: WebTls::Off,
            profiles: vec![Profile::plain()],
            binaries,
            broker_config: String::new(),
            agent_config: String::new(),
            pair: None,
            tell: |_| {},
        }
    }
}
