//! The cluster's configuration.

use std::path::PathBuf;

use abide_client::commands::ConfigText;
use clap::{Args, Subcommand};

use super::JsonArg;

pub(super) const CONFIG_EXAMPLES: &str = "\
Examples:
  abide config edit                            in your own editor; begins with all that can be said
  abide config apply cluster.toml --dry-run    what that would change, or what is wrong with it
  abide config apply cluster.toml --note 'a pool for the engineers'
  abide config history
  abide config diff 6                          from version 6 to what is in force
  abide config show --version 6 > old.toml; abide config apply old.toml

It is one text for all brokers and agents, in force at once and without a restart. A text with
problems is refused with all of them, and changes nothing. The last hundred versions are kept, each
with who and when.";

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Write the text in force, or an earlier one
    Show(ShowConfigArgs),
    /// Change it in an editor (VISUAL or EDITOR)
    Edit(EditConfigArgs),
    /// Take a file's text into force
    Apply(ApplyConfigArgs),
    /// Show what differs between what is in force, versions and files
    Diff(DiffConfigArgs),
    /// Show the versions that are kept: by whom, when, what for
    History(JsonArg),
}

#[derive(Debug, Args)]
pub struct ShowConfigArgs {
    /// A version that is kept; the one in force if absent
    #[arg(long, value_name = "NUMBER")]
    pub version: Option<u64>,
    #[command(flatten)]
    pub json: JsonArg,
}

#[derive(Debug, Args)]
pub struct EditConfigArgs {
    /// What for; kept with the version
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
}

#[derive(Debug, Args)]
pub struct ApplyConfigArgs {
    /// The file; - is standard input
    pub file: PathBuf,
    /// What for; kept with the version
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Only show what would be changed, or what is wrong
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub json: JsonArg,
}

#[derive(Debug, Args)]
pub struct DiffConfigArgs {
    /// A file, which is compared with what is in force; or a version, with which what is in force is
    #[arg(value_name = "FILE|NUMBER", value_parser = config_text)]
    pub first: ConfigText,
    /// Compare the first with this instead
    #[arg(value_name = "FILE|NUMBER", value_parser = config_text)]
    pub second: Option<ConfigText>,
    #[command(flatten)]
    pub json: JsonArg,
}

/// A number is a version; a file of that name is meant by `./NUMBER`.
fn config_text(text: &str) -> Result<ConfigText, std::convert::Infallible> {
    Ok(match text.parse() {
        Ok(number) => ConfigText::Version(number),
        Err(_) => ConfigText::File(text.into()),
    })
}
