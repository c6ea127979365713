//! What an X display leaves in `/tmp` when its server is killed.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Which display the session has, and whose process id its lock file holds. In the session's
/// folder as `N PID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DisplayRecord {
    /// N of `:N`.
    pub number: u32,
    /// The display server's process id.
    pub pid: u32,
}

/// The lock and the socket of one display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisplayFiles {
    lock: PathBuf,
    socket: PathBuf,
    pid: u32,
}

impl DisplayRecord {
    /// The record in a session's folder.
    pub fn read(file: &Path) -> Option<Self> {
        let text = fs::read_to_string(file).ok()?;
        let (number, pid) = text.trim_end().split_once(' ')?;
        Some(Self { number: number.parse().ok()?, pid: pid.parse().ok()? })
    }

    /// Writes it down.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        fs::write(file, format!("{} {}\n", self.number, self.pid))
    }

    /// Its files, at the places that Xserver(1) gives.
    pub fn files(&self) -> DisplayFiles {
        DisplayFiles {
            lock: PathBuf::from(format!("/tmp/.X{}-lock", self.number)),
            socket: PathBuf::from(format!("/tmp/.X11-unix/X{}", self.number)),
            pid: self.pid,
        }
    }
}

impl DisplayFiles {
    /// Removes both, if the lock still names our server. Best called when the server is dead but
    /// not yet reaped: until then no other server takes the lock for stale, so nobody else's can
    /// be hit. The socket goes first, since the lock is what proves it ours.
    ///
    /// # Errors
    /// Those of removing; a file that is gone, or a lock that is another's, is no error.
    pub fn remove(&self) -> io::Result<()> {
        if self.is_ours() {
            remove_if_there(&self.socket)?;
            remove_if_there(&self.lock)?;
        }
        Ok(())
    }

    fn is_ours(&self) -> bool {
        // Anybody can put anything into /tmp: follow no link, wait for no pipe, read no more than
        // a lock file has.
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&self.lock);
        let mut text = String::new();
        let read = opened.and_then(|file| {
            let facts = file.metadata()?;
            if !facts.is_file() || facts.nlink() != 1 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            file.take(16).read_to_string(&mut text)
        });
        read.is_ok() && text.trim().parse() == Ok(self.pid)
    }
}

fn remove_if_there(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lock_with_our_process_id_is_removed() {
        for (content, removed) in [("       42\n", true), ("       43\n", false), ("", false)] {
            let dir = tempfile::tempdir().unwrap();
            let files = DisplayFiles {
                lock: dir.path().join("lock"),
                socket: dir.path().join("socket"),
                pid: 42,
            };
            fs::write(&files.lock, content).unwrap();
            fs::write(&files.socket, "").unwrap();
            files.remove().unwrap();
            assert_eq!(!files.lock.exists(), removed, "{content:?}");
            assert_eq!(!files.socket.exists(), removed, "{content:?}");
            files.remove().unwrap();
        }
    }

    #[test]
    fn a_link_in_place_of_the_lock_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let files = DisplayFiles {
            lock: dir.path().join("lock"),
            socket: dir.path().join("socket"),
            pid: 42,
        };
        fs::write(dir.path().join("target"), "42").unwrap();
        std::os::unix::fs::symlink("target", &files.lock).unwrap();
        files.remove().unwrap();
        assert!(files.lock.is_symlink());
    }

    #[test]
    fn a_record_comes_back_as_it_went() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("display");
        let record = DisplayRecord { number: 7, pid: 42 };
        record.write(&file).unwrap();
        assert_eq!(DisplayRecord::read(&file), Some(record));
        fs::write(&file, "7").unwrap();
        assert_eq!(DisplayRecord::read(&file), None);
    }
}
