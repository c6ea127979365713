//! This machine's agent.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use abide_api::AtDeadline;
use abide_config::BaseUrl;
use clap::{Args, Subcommand, ValueEnum};

use super::{AGENT_CONFIG, JsonArg, LogArgs};

pub(super) const AGENT_EXAMPLES: &str = "\
Examples:
  abide agent join --broker desk.example.org:7443 --token-file token
                                               joins the cluster, once
  abide agent                                  runs it, until SIGTERM; desktops go on
  abide agent list
  abide agent drain desk3 --deadline 2h --then end --watch
                                               takes its host out of service (administrators)

Draining moves nothing: sessions that are there go on, and their people come and go as ever.";

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
    /// Take agents out of service: no new sessions, those that are there go on (administrators)
    Drain(DrainArgs),
    /// Put agents back into service (administrators)
    Undrain {
        /// The agents' names, or their ids
        #[arg(required = true, value_name = "NAME")]
        agents: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub struct DrainArgs {
    /// The agents' names, or their ids
    #[arg(required = true, value_name = "NAME")]
    pub agents: Vec<String>,
    /// In what time each should be empty, such as 2h
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub deadline: Option<Duration>,
    /// Why; `abide agent list --json` and the console show it
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,
    /// What becomes of sessions that are there at the deadline
    #[arg(long, value_name = "WHAT", default_value = "keep")]
    pub then: Then,
    /// Also if the other agents cannot take their load
    #[arg(long)]
    pub force: bool,
    /// Tell what is left, until nothing is
    #[arg(long)]
    pub watch: bool,
    /// So many agents at a time, the next ones when these are empty
    #[arg(long, value_name = "NUMBER")]
    pub waves: Option<NonZeroUsize>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Then {
    /// They go on
    Keep,
    /// They are ended; needs a deadline
    End,
}

impl From<Then> for AtDeadline {
    fn from(then: Then) -> Self {
        match then {
            Then::Keep => Self::Keep,
            Then::End => Self::End,
        }
    }
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
