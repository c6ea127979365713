//! The cluster's configuration as a text: the TOML that `abide config apply` takes, that the table
//! keeps, and that agents are told.
//!
//! Brokers and agents read the same text with this, so that both understand the same by it.
//!
//! ```
//! let text = "[limits]\nidle = '2h'\n[[pool]]\nname = 'all'\nagents = ['*']\ndefault = true";
//! let config = abide_policy_text::read(text)?;
//! assert_eq!(config.pools[0].name.as_str(), "all");
//!
//! let problems = abide_policy_text::read("[shadow]\nmode = 'aks'").unwrap_err();
//! assert!(problems.to_string().starts_with("cluster.toml:2: shadow.mode:"));
//! # Ok::<(), abide_config::Problems>(())
//! ```
#![forbid(unsafe_code)]

mod shape;

use abide_config::Problems;
use abide_policy::ClusterConfig;

/// What problems call the text.
pub const FILE: &str = "cluster.toml";

/// A text that says nothing, with everything that can be said as comments.
pub const TEMPLATE: &str = include_str!("template.toml");

/// The configuration that a text gives.
///
/// # Errors
/// All that is wrong with it.
pub fn read(text: &str) -> Result<ClusterConfig, Problems> {
    abide_config::read(FILE, text, shape::config)
}

#[cfg(test)]
mod tests;
