//! What cluster managers say.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::BROKER_CONFIG;

pub(super) const HA_HELP: &str = "\
They speak with this host's broker over its Unix socket, as root or as the broker's user; no login, no
network. Each may be repeated: it changes nothing the second time.

Exit codes:
  0   it serves (activate), has stopped serving (release), leads (status), is done (aside)
  1   anything else
  2   the command line or a configuration file is wrong
  10  follower in sync with the leader
  11  learner that is catching up
  12  no quorum; activate: it could not serve in time
  13  its data may be stale: refused
  14  down: no broker answers here
  15  not proven that the peer is down, and takeover = \"fenced\" wants proof";

#[derive(Debug, Subcommand)]
pub enum HaCommand {
    /// This node must serve: a standing order, until release or until the peer has a higher claim
    Activate(ActivateArgs),
    /// Stop serving in order
    Release(ReleaseArgs),
    /// One line, and the exit code, of how this node stands
    Status(HaArgs),
    /// What this node had acknowledged under a claim that lost, and that does not come back by itself
    Aside(HaArgs),
}

#[derive(Debug, Args)]
pub struct HaArgs {
    /// The broker's configuration file
    #[arg(long, value_name = "FILE", default_value = BROKER_CONFIG)]
    pub config: PathBuf,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ActivateArgs {
    /// The peer is proven to be down: it was fenced, or a person vouches for it
    #[arg(long)]
    pub peer_is_down: bool,
    /// Serve although others may know more: what they know is lost, desktops are not
    #[arg(long)]
    pub accept_stale: bool,
    /// How long it may take
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub timeout: u16,
    #[command(flatten)]
    pub ha: HaArgs,
}

#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// How long it may take
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub timeout: u16,
    #[command(flatten)]
    pub ha: HaArgs,
}
