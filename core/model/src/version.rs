//! In which form commands are written: the wire version on which the cluster's brokers have agreed.

use std::fmt::{self, Display};

use crate::{Outcome, Table};

/// A version of the form of commands and snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireVersion(pub u32);

impl WireVersion {
    /// What brokers spoke before they said which version.
    pub const FIRST: Self = Self(1);
}

impl Default for WireVersion {
    fn default() -> Self {
        Self::FIRST
    }
}

impl Display for WireVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Table {
    /// The version that every broker of the cluster reads.
    pub fn wire(&self) -> WireVersion {
        self.wire
    }

    pub(crate) fn raise_wire(&mut self, to: WireVersion) -> Outcome {
        if to <= self.wire {
            return Outcome::Unchanged;
        }
        self.wire = to;
        Outcome::Done
    }
}
