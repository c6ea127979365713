//! The command line: its words, their help, nothing else. A file for each noun.

mod agent;
mod broker;
mod client;
mod cluster;
mod config;
mod doctor;
mod ha;
mod placement;
mod user;

use std::path::PathBuf;

use abide_telemetry::LogFormat;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub use agent::{AgentArgs, AgentCommand, DrainArgs, JoinArgs};
pub use broker::{BrokerArgs, BrokerCommand, BrokerJoinArgs, BundleArgs, InitArgs, RecoverArgs};
pub use client::{ConnectArgs, LoginArgs, LogoutArgs, SessionCommand};
pub use cluster::{ClusterCommand, DrillArgs, RecoverCommand};
pub use config::ConfigCommand;
pub use doctor::DoctorArgs;
pub use ha::{ActivateArgs, HaCommand};
pub use placement::{ExplainArgs, PlacementCommand};
pub use user::{UserArgs, UserCommand};

use agent::AGENT_EXAMPLES;
use broker::BROKER_EXAMPLES;
use client::{CONNECT_EXAMPLES, LOGIN_EXAMPLES};
use config::CONFIG_EXAMPLES;
use doctor::DOCTOR_HELP;
use ha::HA_HELP;

/// Where a broker's configuration lies.
pub const BROKER_CONFIG: &str = "/etc/abide/broker.toml";

/// Where an agent's configuration lies.
pub const AGENT_CONFIG: &str = "/etc/abide/agent.toml";

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused, or broken
  2  the command line, a configuration file or the identity is wrong
  3  not logged in, or the login was refused
  4  no broker answers, or the desktop's server cannot be reached from here
  5  the session's server is not heard by any broker
  6  the session is lost, or had ended before
  7  another viewer took the session over
  8  brokers answer, but none leads

Examples:
  abide login --broker https://desk.example.org
  abide connect
  abide session list --json";

/// Linux desktops that stay.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Log in to a cluster
    #[command(after_help = LOGIN_EXAMPLES)]
    Login(LoginArgs),
    /// Log out; desktops go on
    Logout(LogoutArgs),
    /// Open a desktop: back to the one there is, or a new one
    #[command(after_help = CONNECT_EXAMPLES)]
    Connect(ConnectArgs),
    /// List, end or abandon sessions
    #[command(subcommand)]
    Session(SessionCommand),
    /// See the cluster; let machines join it
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// The cluster's configuration: pools, limits, kinds of desktop (administrators)
    #[command(subcommand, after_help = CONFIG_EXAMPLES)]
    Config(ConfigCommand),
    /// See where sessions go, and why
    #[command(subcommand)]
    Placement(PlacementCommand),
    /// Run this machine's broker, or make a cluster
    #[command(args_conflicts_with_subcommands = true, after_help = BROKER_EXAMPLES)]
    Broker(BrokerArgs),
    /// Run this machine's agent, join a cluster, list or drain agents
    #[command(args_conflicts_with_subcommands = true, after_help = AGENT_EXAMPLES)]
    Agent(AgentArgs),
    /// Manage the users file on a broker's machine
    User(UserArgs),
    /// For cluster managers: whether this host's broker is to serve, and how it stands
    #[command(subcommand, after_help = HA_HELP)]
    Ha(HaCommand),
    /// Look whether this host is set up right, and tell how to mend what is not
    #[command(after_help = DOCTOR_HELP)]
    Doctor(DoctorArgs),
    /// Write a shell's completions of this command line
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages of this command line
    #[command(hide = true)]
    Manual {
        /// An existing folder
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct JsonArg {
    /// Write the API's JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct LogArgs {
    /// What is logged: a level, or a filter such as abide_raft=debug,warn
    #[arg(long, value_name = "FILTER", env = "ABIDE_LOG")]
    pub log: Option<String>,
    /// How log lines look: human or json
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub log_format: LogFormat,
}
