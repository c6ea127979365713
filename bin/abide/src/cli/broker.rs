//! This machine's broker.

use std::path::PathBuf;

use abide_config::BaseUrl;
use clap::{Args, Subcommand};

use super::{BROKER_CONFIG, LogArgs};

pub(super) const BROKER_EXAMPLES: &str = "\
Examples:
  abide broker init --public-url https://desk.example.org
                                               makes a cluster and its first broker
  abide broker join --broker desk.example.org:7443 --token-file token
                                               makes this machine a further broker
  abide broker                                 runs it, until SIGTERM";

#[derive(Debug, Args)]
pub struct BrokerArgs {
    #[command(subcommand)]
    pub command: Option<BrokerCommand>,
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = BROKER_CONFIG)]
    pub config: PathBuf,
    #[command(flatten)]
    pub log: LogArgs,
}

#[derive(Debug, Subcommand)]
pub enum BrokerCommand {
    /// Make a cluster: its CA, its keys, its first broker
    Init(InitArgs),
    /// Join a cluster as a further broker, by a one-time token: `abide cluster token broker`
    Join(BrokerJoinArgs),
    /// Remove the service address from this host, after its broker was killed (systemd's ExecStopPost)
    ReleaseAddress(ReleaseAddressArgs),
    /// All brokers' data are lost, this one's identity is not: its next start makes the table anew
    Recover(RecoverArgs),
    /// Write the recovery bundle: the cluster's keys under a passphrase, to be kept elsewhere
    Bundle(BundleArgs),
    /// Write the description of the HTTP interface (OpenAPI, JSON)
    Openapi,
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// The configuration file; written if it is missing
    #[arg(long, value_name = "FILE", default_value = BROKER_CONFIG)]
    pub config: PathBuf,
    /// Where browsers will reach the broker; for a configuration file that does not say it
    #[arg(long, value_name = "URL")]
    pub public_url: Option<BaseUrl>,
    /// Write the recovery bundle there: the cluster's keys under a passphrase, to be kept elsewhere
    #[arg(long, value_name = "FILE", conflicts_with = "recover")]
    pub recovery_bundle: Option<PathBuf>,
    /// All brokers are lost: make the first one anew from this recovery bundle
    #[arg(long, value_name = "FILE", conflicts_with = "rebuild")]
    pub recover: Option<PathBuf>,
    /// All brokers and their keys are lost: make a new cluster, for agents that join it again
    #[arg(long)]
    pub rebuild: bool,
    /// The file of the bundle's passphrase; - is standard input; asked for if absent
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = BROKER_CONFIG)]
    pub config: PathBuf,
}

#[derive(Debug, Args)]
pub struct BundleArgs {
    /// Where it goes; must not exist yet
    pub file: PathBuf,
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = BROKER_CONFIG)]
    pub config: PathBuf,
    /// The file of its passphrase; - is standard input; asked for if absent
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct BrokerJoinArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = BROKER_CONFIG)]
    pub config: PathBuf,
    /// Where browsers will reach the broker; for a configuration file that does not say it
    #[arg(long, value_name = "URL")]
    pub public_url: Option<BaseUrl>,
    /// A broker's address for agents; more may be given
    #[arg(long, value_name = "HOST:PORT", required = true)]
    pub broker: Vec<String>,
    /// The token's file; - is standard input; asked for if absent
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ReleaseAddressArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = BROKER_CONFIG)]
    pub config: PathBuf,
}
