//! The benches, one a file. Each measures Abide and its references by turns, round after round, so that
//! what else the machine does hits all of them.

mod broker;
mod connect;
mod durable_write;
mod keystroke;
mod login_user;
mod memory;
mod placement;
mod relay;
mod session_start;
mod stage;
mod storm;

use std::fs;
use std::path::PathBuf;

use clap::ValueEnum;
use tokio::runtime::Runtime;

use crate::figure::Figure;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Bench {
    /// A new session, against Xvnc alone.
    SessionStart,
    /// The way back into a session, against x2gobroker.
    Connect,
    /// CPU time and speed of the relay, against websockify and HAProxy.
    Relay,
    /// A key's way to the display server and back, against its socket.
    Keystroke,
    /// Memory of keeper, agent and viewers.
    Memory,
    /// Keepers that open a PAM session; as root, with --login-user.
    LoginUser,
    /// A large table: memory, restarts, snapshots, a new broker. See --sessions.
    Broker,
    /// Durable writes of three brokers' engines and of one, against one fsync per write.
    DurableWrite,
    /// The choice among 10,000 agents.
    Placement,
    /// 1,000 starts within 10 s, against x2gobroker.
    Storm,
}

/// Where and how to measure.
pub struct Lab {
    /// Runs what is asynchronous.
    pub runtime: Runtime,
    /// On the disk to be measured; empty at first.
    pub folder: PathBuf,
    /// How often.
    pub rounds: usize,
    /// In the large table.
    pub sessions: u64,
    /// In whose name desktops may be started here.
    pub login_user: Option<String>,
}

impl Bench {
    /// Its name on the command line and in the report.
    pub fn name(self) -> &'static str {
        match self {
            Bench::SessionStart => "session-start",
            Bench::Connect => "connect",
            Bench::Relay => "relay",
            Bench::Keystroke => "keystroke",
            Bench::Memory => "memory",
            Bench::LoginUser => "login-user",
            Bench::Broker => "broker",
            Bench::DurableWrite => "durable-write",
            Bench::Placement => "placement",
            Bench::Storm => "storm",
        }
    }

    /// Measures.
    pub fn run(self, lab: &Lab) -> anyhow::Result<Vec<Figure>> {
        match self {
            Bench::SessionStart => session_start::run(lab),
            Bench::Connect => connect::run(lab),
            Bench::Relay => relay::run(lab),
            Bench::Keystroke => keystroke::run(lab),
            Bench::Memory => memory::run(lab),
            Bench::LoginUser => login_user::run(lab),
            Bench::Broker => broker::run(lab),
            Bench::DurableWrite => durable_write::run(lab),
            Bench::Placement => placement::run(lab),
            Bench::Storm => storm::run(lab),
        }
    }
}

impl Lab {
    /// A new folder of this name.
    pub fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}
