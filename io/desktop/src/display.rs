//! What an X display leaves in `/tmp` when its server is killed: its socket. There is no lock
//! file, since a server that picks its own number (`-displayfd`) makes none.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Which display the session has, and what its socket is. In the session's folder as
/// `NUMBER INODE CTIME_NS`.
///
/// The number alone proves nothing: as soon as our server is dead another may have it, and then the
/// socket of that name is the other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DisplayRecord {
    /// N of `:N`.
    pub number: u32,
    socket: Identity,
}

/// One socket in the file system. The time tells it from a later one with the same inode number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    inode: u64,
    ctime_ns: i128,
}

impl DisplayRecord {
    /// Of a display that serves.
    ///
    /// # Errors
    /// Those of looking at its socket.
    pub fn of(number: u32) -> io::Result<Self> {
        Ok(Self { number, socket: Identity::of(&socket(number))? })
    }

    /// The record in a session's folder.
    pub fn read(file: &Path) -> Option<Self> {
        let text = fs::read_to_string(file).ok()?;
        let mut words = text.split_ascii_whitespace();
        let number = words.next()?.parse().ok()?;
        let inode = words.next()?.parse().ok()?;
        let ctime_ns = words.next()?.parse().ok()?;
        Some(Self { number, socket: Identity { inode, ctime_ns } })
    }

    /// Writes it down.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        let Identity { inode, ctime_ns } = self.socket;
        fs::write(file, format!("{} {inode} {ctime_ns}\n", self.number))
    }

    /// Removes the socket, if it is still the one that was recorded.
    ///
    /// # Errors
    /// Those of removing; that it is gone, or another's, is none.
    pub fn remove_socket(&self) -> io::Result<()> {
        self.remove(&socket(self.number))
    }

    fn remove(&self, socket: &Path) -> io::Result<()> {
        match Identity::of(socket) {
            Ok(found) if found == self.socket => fs::remove_file(socket),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Identity {
    fn of(socket: &Path) -> io::Result<Self> {
        let facts = fs::symlink_metadata(socket)?;
        if !facts.file_type().is_socket() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let ctime_ns = i128::from(facts.ctime()) * 1_000_000_000 + i128::from(facts.ctime_nsec());
        Ok(Self { inode: facts.ino(), ctime_ns })
    }
}

/// Where Xserver(1) has it.
fn socket(number: u32) -> PathBuf {
    PathBuf::from(format!("/tmp/.X11-unix/X{number}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_the_recorded_socket_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("X7");
        let record = |path: &Path| DisplayRecord { number: 7, socket: Identity::of(path).unwrap() };

        let ours = UnixListener::bind(&path).unwrap();
        let ours_recorded = record(&path);
        drop(ours);
        fs::remove_file(&path).unwrap();
        ours_recorded.remove(&path).unwrap();

        let _theirs = UnixListener::bind(&path).unwrap();
        ours_recorded.remove(&path).unwrap();
        assert!(path.exists(), "another server's is left alone");
        record(&path).remove(&path).unwrap();
        assert!(!path.exists());

        fs::write(&path, "").unwrap();
        ours_recorded.remove(&path).unwrap();
        assert!(path.exists(), "what is no socket is left alone");
    }

    #[test]
    fn a_record_comes_back_as_it_went() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("display");
        let socket = Identity { inode: 5, ctime_ns: 1_700_000_000_123_456_789 };
        let record = DisplayRecord { number: 7, socket };
        record.write(&file).unwrap();
        assert_eq!(DisplayRecord::read(&file), Some(record));
        fs::write(&file, "7 5").unwrap();
        assert_eq!(DisplayRecord::read(&file), None);
    }
}
