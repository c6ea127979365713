//! What may be tuned, and what each number is for.

use std::time::Duration;

/// How fast the group notices and decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How often a leader shows that it lives. Also the hard limit of every append and ReadIndex to
    /// another node, so it must exceed the round trip plus the 99.9th percentile of an fsync.
    pub heartbeat: Duration,
    /// How long a follower holds on to a silent leader, and how old a leader's last
    /// acknowledgement by a majority may be before it no longer counts as serving.
    pub lease: Duration,
}

impl Timing {
    /// One site, round trips below 10 ms.
    pub const LAN: Self =
        Self { heartbeat: Duration::from_millis(75), lease: Duration::from_millis(300) };
    /// Slow disks, or sites far apart.
    pub const SLOW: Self =
        Self { heartbeat: Duration::from_millis(500), lease: Duration::from_secs(2) };
}

/// How much free space the data folder's file system must have.
///
/// Below `ordinary` only essential commands are taken; below `essential` none is. So the log store
/// itself does not meet a full disk in normal life: what is left carries elections, a snapshot and the
/// commands that were already on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserve {
    /// Bytes. Below this, commands that begin something new are refused.
    pub ordinary: u64,
    /// Bytes. Below this, every command is refused.
    pub essential: u64,
}

impl Default for Reserve {
    fn default() -> Self {
        Self { ordinary: 64 << 20, essential: 16 << 20 }
    }
}

/// When a snapshot is taken: after this much log, in bytes.
///
/// The bound is half the last snapshot's size, kept between `least` and `most`. More log means a
/// slower restart, more snapshots mean more writing; so a large table is written at most three times
/// over, and what a restart must replay stays bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotEvery {
    /// Bytes of log.
    pub least: u64,
    /// Bytes of log.
    pub most: u64,
}

impl Default for SnapshotEvery {
    fn default() -> Self {
        Self { least: 8 << 20, most: 64 << 20 }
    }
}

/// All of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// See [`Timing`].
    pub timing: Timing,
    /// How long a proposal may take, failovers included, before its caller is told "unknown".
    pub propose_timeout: Duration,
    /// How long a read may wait for a leader and a majority.
    pub read_timeout: Duration,
    /// See [`Reserve`].
    pub reserve: Reserve,
    /// See [`SnapshotEvery`].
    pub snapshot_every: SnapshotEvery,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timing: Timing::LAN,
            propose_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(5),
            reserve: Reserve::default(),
            snapshot_every: SnapshotEvery::default(),
        }
    }
}
