//! The running broker's process id, in its data folder, for those who are to stop or try it.
//!
//! The file is locked for as long as the broker runs, however it ends. So a number that a dead broker
//! left is not taken for a living process's.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Where a broker on this data folder writes it.
pub fn pid_file(data_dir: &Path) -> PathBuf {
    data_dir.join("broker.pid")
}

/// Writes this process's id. It counts until the file that is given back is dropped.
///
/// # Errors
/// Another broker runs on this folder, or the file cannot be written.
pub(crate) fn claim(data_dir: &Path) -> io::Result<File> {
    let path = pid_file(data_dir);
    let mut file =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o644).open(path)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}
