//! This machine's agent.

use std::path::PathBuf;

use abide_config::BaseUrl;
use clap::{Args, Subcommand};

use super::{AGENT_CONFIG, JsonArg, LogArgs};

pub(super) const AGENT_EXAMPLES: &str = "\
Examples:
  abide agent join --broker desk.example.org:7443 --token-file token
                                               joins the cluster, once
  abide agent                                  runs it, until SIGTERM; desktops go on
  abide agent list";

#[derive(Debug, Args)]
pub struct AgentArgs {
    #[command(subcommand)]
    pub command: Option<AgentCommand>,
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = AGENT_CONFIG)]
    pub config: PathBuf,
    #[command(flatten)]
    pub log: LogArgs,
}

#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Join a cluster by a one-time token: `abide cluster token agent`
    Join(JoinArgs),
    /// Show the agents
    List(JsonArg),
}

#[derive(Debug, Args)]
pub struct JoinArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = AGENT_CONFIG)]
    pub config: PathBuf,
    /// Where browsers will reach this machine's desktops; for a configuration file that does not say it
    #[arg(long, value_name = "URL")]
    pub public_url: Option<BaseUrl>,
    /// What is written for the launcher, as root
    #[arg(long, value_name = "FILE", default_value = abide_agent::LAUNCHER_ENV)]
    pub launcher_env: PathBuf,
    /// A broker's address for agents; more may be given
    #[arg(long, value_name = "HOST:PORT", required = true)]
    pub broker: Vec<String>,
    /// The token's file; - is standard input; asked for if absent
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Leave the cluster that this agent belongs to, whose brokers and keys are lost; desktops go on
    #[arg(long)]
    pub replace_cluster: bool,
}
