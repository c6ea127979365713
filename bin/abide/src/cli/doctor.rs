//! Looking at an installation.

use std::path::PathBuf;

use clap::Args;

use super::JsonArg;

pub(super) const DOCTOR_HELP: &str = "\
Run it as root. It looks at the broker, the agent or both, whichever was begun to be set up here, and
changes nothing.

Exit codes: 0 nothing is wrong, warnings apart; 1 something is";

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Look at a broker, with this configuration file
    #[arg(long, value_name = "FILE")]
    pub broker_config: Option<PathBuf>,
    /// Look at an agent, with this configuration file
    #[arg(long, value_name = "FILE")]
    pub agent_config: Option<PathBuf>,
    #[command(flatten)]
    pub json: JsonArg,
}
