//! The data folder: its lock, and the space that is set aside in it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, FlockOperation};
use tracing::warn;

use crate::schema::OpenError;

/// Set aside for the day when the disk is full: then it is given up, and what belongs to sessions that
/// exist can still be written: their ends, the passes of those who come back.
pub(crate) const RESERVE: u64 = 8 << 20;

/// Makes the folder if it is missing (0700), and takes its lock. One agent a folder.
pub(crate) fn lock(folder: &Path) -> Result<File, OpenError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| OpenError::Io { path, cause }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed(folder))?;
    let path = folder.join("lock");
    let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = open.map_err(failed(&path))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse { folder: folder.to_owned() }),
        Err(cause) => Err(OpenError::io(&path, cause.into())),
    }
}

/// The file that holds the space set aside.
pub(crate) struct Reserve {
    path: PathBuf,
}

impl Reserve {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { path: folder.join("reserve") }
    }

    /// Gives the space up; whether there was any.
    pub(crate) fn give_up(&self) -> bool {
        std::fs::remove_file(&self.path).is_ok()
    }

    /// Sets the space aside, unless it is already; whether it is now. It takes no more than half of
    /// what is free.
    pub(crate) fn take(&self) -> bool {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        if std::fs::metadata(&self.path).is_ok_and(|file| file.len() == RESERVE) {
            return true;
        }
        if free(folder).is_ok_and(|free| free < 2 * RESERVE) {
            return false;
        }
        let allocated = self.allocate();
        if let Err(cause) = &allocated {
            self.give_up();
            warn!(path = %self.path.display(), %cause, "Cannot set disk space aside");
        }
        allocated.is_ok()
    }

    fn allocate(&self) -> io::Result<()> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&self.path)?;
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVE)?;
        file.sync_all()
    }
}

/// Bytes that we can still write to the file system of this folder.
pub(crate) fn free(folder: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(folder)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
