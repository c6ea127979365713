//! The cluster, and machines that are to join it.

use std::path::PathBuf;
use std::time::Duration;

use abide_api::JoinRole;
use abide_client::commands::Drill;
use clap::{Args, Subcommand, ValueEnum};

use super::{BROKER_CONFIG, JsonArg};

#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show the brokers, who leads, and how many may fail
    Status(ClusterStatusArgs),
    /// Take a broker that is gone for good out of the cluster (administrators)
    #[command(after_help = REMOVE_HELP)]
    Remove(RemoveArgs),
    /// Let this host's broker fail on purpose, and tell what people would have noticed
    #[command(after_help = DRILL_HELP)]
    Drill(DrillArgs),
    /// Make a one-time token with which a machine joins (administrators)
    Token(TokenArgs),
    /// See and steer the making anew of a lost table (administrators)
    #[command(subcommand)]
    Recover(RecoverCommand),
}

#[derive(Debug, Subcommand)]
pub enum RecoverCommand {
    /// Show which agents have reported
    Status(JsonArg),
    /// Start no new session before these agents have reported
    Expect {
        /// Their names or ids
        #[arg(required = true, value_name = "AGENT")]
        agents: Vec<String>,
    },
    /// Start new sessions, whoever has not reported
    Go,
    /// Vouch for the sessions that an agent has on orders which this cluster cannot check
    Confirm {
        /// Its name or id
        agent: String,
    },
}

#[derive(Debug, Args)]
pub struct ClusterStatusArgs {
    #[command(flatten)]
    pub json: JsonArg,
    /// Look again every second, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
}

const REMOVE_HELP: &str = "\
It is refused where the brokers that are left, or those of them that can be reached, would be no
majority: add one first, or bring one back. What the removed broker has signed counts no more.";

#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// The broker's id, its beginning, or its URL
    pub broker: String,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

const DRILL_HELP: &str = "\
Run it on the broker's own host, as root or as the broker's user, after abide login there. It hurts
that host's broker only, asks before (without a terminal it needs --yes), refuses where the cluster could
not bear it, and starts nothing: that is for the service manager. Meanwhile it asks, one call after the
other, for the way back into a session of yours (or for the list of sessions), and prints what came of that.

Exit codes: 0 done and told; 1 refused; 4 no broker answers; 8 none leads";

#[derive(Debug, Args)]
pub struct DrillArgs {
    /// What happens
    pub drill: DrillName,
    /// The configuration of this host's broker
    #[arg(long, value_name = "FILE", default_value = BROKER_CONFIG)]
    pub config: PathBuf,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    #[command(flatten)]
    pub json: JsonArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum DrillName {
    /// The leader's process is killed (SIGKILL)
    LeaderKill,
    /// The leader is stopped in order (SIGTERM)
    LeaderStop,
    /// The leader's process stands still for ten seconds
    LeaderPause,
    /// A follower's process is killed (SIGKILL)
    FollowerKill,
}

impl From<DrillName> for Drill {
    fn from(name: DrillName) -> Self {
        match name {
            DrillName::LeaderKill => Drill::LeaderKill,
            DrillName::LeaderStop => Drill::LeaderStop,
            DrillName::LeaderPause => Drill::LeaderPause,
            DrillName::FollowerKill => Drill::FollowerKill,
        }
    }
}

#[derive(Debug, Args)]
pub struct TokenArgs {
    /// What the machine is to be
    pub role: Role,
    /// For how long the token is good, such as 30m
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub valid_for: Option<Duration>,
    #[command(flatten)]
    pub json: JsonArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Role {
    /// It runs desktops
    Agent,
    /// It keeps the table
    Broker,
}

impl From<Role> for JoinRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Agent => JoinRole::Agent,
            Role::Broker => JoinRole::Broker,
        }
    }
}
