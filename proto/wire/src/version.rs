//! The wire versions: which forms of commands this build reads and writes, and what a broker says of itself.
//!
//! ```text
//! every broker says what it speaks ─▶ all speak n ─▶ the leader commits RaiseWire(n), once
//!                                                        └─▶ commands may be written as of n
//! ```
//! The table holds the version that the cluster has come to. What an older broker could not read is not
//! written before that, so brokers are upgraded one by one while they serve; and from then on an older
//! broker is refused.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;

use abide_model::WireVersion;

use crate::agent::Speech;

/// 1: as it was before brokers said what they speak. 2: the cluster's configuration in the table; sessions
/// placed anew because their agents obey a higher claim.
#[cfg(not(feature = "next-wire"))]
const NEWEST: u32 = 2;
/// The version after it, which exists in the upgrade test alone.
#[cfg(feature = "next-wire")]
const NEWEST: u32 = 3;

/// The versions that this build reads and writes.
pub const SPOKEN: RangeInclusive<WireVersion> = WireVersion::FIRST..=WireVersion(NEWEST);

/// What a broker has said that it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speaks {
    /// The oldest version that it reads and writes.
    pub oldest: WireVersion,
    /// The newest.
    pub newest: WireVersion,
    /// What its table has come to, if it has one.
    pub table: Option<WireVersion>,
}

impl Speaks {
    /// This build, on a table.
    pub fn here(table: Option<WireVersion>) -> Self {
        Self { oldest: *SPOKEN.start(), newest: *SPOKEN.end(), table }
    }

    /// Whether its table has come to a version that this build does not speak.
    pub fn is_beyond(&self) -> bool {
        self.table.is_some_and(|table| !SPOKEN.contains(&table))
    }

    /// Whether it reads a table's commands.
    pub fn reads(&self, table: WireVersion) -> bool {
        (self.oldest..=self.newest).contains(&table)
    }
}

impl Display for Speaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { oldest, newest, .. } = self;
        if oldest == newest { newest.fmt(f) } else { write!(f, "{oldest} to {newest}") }
    }
}

impl From<Speaks> for Speech {
    fn from(speaks: Speaks) -> Self {
        let Speaks { oldest, newest, table } = speaks;
        Self { oldest: oldest.0, newest: newest.0, table: table.map_or(0, |it| it.0) }
    }
}

/// Whoever says nothing speaks the first version.
impl From<Option<Speech>> for Speaks {
    fn from(said: Option<Speech>) -> Self {
        let Speech { oldest, newest, table } = said.unwrap_or_default();
        let [oldest, newest] = [oldest, newest].map(|it| WireVersion(it).max(WireVersion::FIRST));
        Self { oldest, newest, table: (table > 0).then_some(WireVersion(table)) }
    }
}

/// A command that not every broker could read yet. It is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cluster speaks wire version {spoken} until every broker runs an Abide that speaks {needed}"
)]
pub struct Unspoken {
    /// What it needs.
    pub needed: WireVersion,
    /// What the cluster has come to.
    pub spoken: WireVersion,
}
