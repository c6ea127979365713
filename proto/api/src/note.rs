//! What the person at a viewer should know; agents tell it.

use serde::{Deserialize, Serialize};

/// One note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Note {
    /// How the session stands with its limits. It takes the place of the note of this kind before.
    Limit {
        /// That it ends, why, and what keeps it; absent: it does not, for now.
        text: Option<String>,
        /// In how many seconds.
        ends_in_s: Option<u64>,
    },
}
