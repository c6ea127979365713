//! The cluster's configuration: the text in force, and those before it.
//!
//! Kept as texts. What they mean is not known here: whoever proposes one has read it before.

use std::sync::Arc;

use crate::{Outcome, Refusal, Table, Timestamp};

/// How many versions are kept, the one in force included.
pub const CONFIGS_KEPT: usize = 100;
/// Bytes that the texts of all kept versions may have together. The one in force is kept in any case.
pub const CONFIGS_BYTES: usize = 4 << 20;
/// Bytes of one text at the most; whoever proposes one sees to that.
pub const CONFIG_TEXT: usize = 256 << 10;
/// Bytes of the note to a version at the most; the same.
pub const CONFIG_NOTE: usize = 1 << 10;

/// One version of the cluster's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigVersion {
    /// Counts them, from 1; 0: none was ever taken, the text is empty.
    pub number: u64,
    /// What it says, TOML.
    pub text: Arc<str>,
    /// When it was taken.
    pub at: Timestamp,
    /// By whom.
    pub by: Arc<str>,
    /// What for, in that person's words; may be empty.
    pub note: Arc<str>,
}

impl Table {
    /// The configuration in force.
    pub fn config(&self) -> &Arc<ConfigVersion> {
        &self.config
    }

    /// The versions that are kept, the one in force last.
    pub fn config_history(&self) -> impl DoubleEndedIterator<Item = &Arc<ConfigVersion>> {
        self.configs.values()
    }

    /// A version that is kept.
    pub fn config_version(&self, number: u64) -> Option<&Arc<ConfigVersion>> {
        self.configs.get(&number)
    }

    pub(crate) fn set_config(
        &mut self,
        base: u64,
        text: Arc<str>,
        by: Arc<str>,
        note: Arc<str>,
    ) -> Outcome {
        let version =
            ConfigVersion { number: base.saturating_add(1), text, at: self.now, by, note };
        if let Some(known) = self.configs.get(&version.number) {
            // Whoever heard no answer asks again, and may not be told that it failed.
            let is_repeat = **known == ConfigVersion { at: known.at, ..version };
            return match is_repeat {
                true => Outcome::Unchanged,
                false => Outcome::Refused(Refusal::ConfigChanged),
            };
        }
        if base != self.config.number {
            return Outcome::Refused(Refusal::ConfigChanged);
        }
        self.keep_config(Arc::new(version));
        Outcome::Done
    }

    /// Puts a version into the history, and into force if it is the newest.
    pub(crate) fn keep_config(&mut self, version: Arc<ConfigVersion>) {
        if version.number > self.config.number {
            self.config = version.clone();
        }
        self.configs.insert(version.number, version);
        let size = |version: &Arc<ConfigVersion>| version.text.len();
        let mut bytes: usize = self.configs.values().map(size).sum();
        while self.configs.len() > CONFIGS_KEPT || bytes > CONFIGS_BYTES {
            let Some((oldest, gone)) = self.configs.get_min() else { return };
            if *oldest == self.config.number {
                return;
            }
            bytes -= gone.text.len();
            let oldest = *oldest;
            self.configs.remove(&oldest);
        }
    }
}
