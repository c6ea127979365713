//! The plainest durable write: append it, wait for the disk, go on to the next.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// A file whose every record is on the disk before the next is written.
pub struct Synced(File);

impl Synced {
    /// A new file in `folder`.
    pub fn new(folder: &Path) -> io::Result<Self> {
        File::create(folder.join("one-fsync-per-write")).map(Self)
    }

    /// Writes one record; it is on the disk when this returns.
    pub fn write(&mut self, record: &[u8]) -> io::Result<()> {
        self.0.write_all(record)?;
        self.0.sync_data()
    }
}
