//! Where sessions go.

use clap::{Args, Subcommand};

use super::JsonArg;

#[derive(Debug, Subcommand)]
pub enum PlacementCommand {
    /// Show where a start would go now, and of each agent why
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainArgs),
}

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  abide placement explain                           one's own next session
  abide placement explain ada --group engineering   somebody else's (administrators)

Nothing is placed. Groups decide about pools; of somebody else they must be named, since only a login
knows them.";

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Whose start; one's own if absent
    pub user: Option<String>,
    /// A group of that user; repeat it for several
    #[arg(long = "group", value_name = "GROUP", requires = "user")]
    pub groups: Vec<String>,
    /// The kind of desktop; the default one if absent
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    #[command(flatten)]
    pub json: JsonArg,
}
