//! The session's folder and the lock in it.
//!
//! ```text
//! <run dir>/<session id>/   the keeper's; nobody else can put anything here
//!   keeper.lock             locked as long as the keeper lives
//!   control.sock            for the agent
//!   cgroup, display         what to remove if the keeper cannot
//!   keeper.log
//!   ended                   how it ended; there from the end on
//!   x/                      rfb.sock and its passwords; closed to the user once the socket is there
//!   user/                   the user's: Xauthority, runtime folder, logs of display and desktop
//! ```
//!
//! In login-user mode the keeper is root. So what root or the agent opens by name must lie where
//! the user cannot swap it for a link: hence the two inner folders.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use abide_wire::keeper::SessionEnded;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use prost::Message;

/// The longest path of a Unix socket, bytes, its end mark apart (unix(7)).
pub const MAX_SOCKET_PATH: usize = 107;

/// What a look at a session's folder finds.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// Its keeper lives.
    Alive,
    /// Its keeper is gone. Without `ended` it was killed.
    Gone {
        /// What the keeper wrote at the end.
        ended: Option<SessionEnded>,
    },
    /// No folder, or no keeper was ever in it.
    Missing,
}

/// Why a keeper cannot have a folder.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// A living keeper has it.
    #[error("another keeper has the session")]
    Taken,
    /// A keeper was here and is gone: the folder must be cleaned up first.
    #[error("an earlier keeper of this session left its remains")]
    Remains,
    /// The lock file cannot be made or locked.
    #[error("cannot lock the session's folder")]
    Io(#[source] io::Error),
}

/// Held by the keeper for life; the kernel frees it when the keeper dies, however it dies.
///
/// It is a lock of the open file description (`F_OFD_SETLK`): unlike flock(2)'s it can be asked
/// about without being taken, so a look at the folder never gets into a starting keeper's way.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "holds the lock by being open")] File);

/// One session's folder. Nothing is touched by making this value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFolder(PathBuf);

impl SessionFolder {
    /// The folder at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The keeper's lock.
    pub fn lock(&self) -> PathBuf {
        self.0.join("keeper.lock")
    }

    /// The control socket.
    pub fn control(&self) -> PathBuf {
        self.0.join("control.sock")
    }

    /// What the keeper has to say.
    pub fn keeper_log(&self) -> PathBuf {
        self.0.join("keeper.log")
    }

    /// How the session ended.
    pub fn ended(&self) -> PathBuf {
        self.0.join("ended")
    }

    /// Which cgroup the session has.
    pub fn cgroup_record(&self) -> PathBuf {
        self.0.join("cgroup")
    }

    /// Which display the session has.
    pub fn display_record(&self) -> PathBuf {
        self.0.join("display")
    }

    /// Where the display server makes its RFB socket.
    pub fn server(&self) -> PathBuf {
        self.0.join("x")
    }

    /// The display server's RFB socket.
    pub fn rfb_socket(&self) -> PathBuf {
        self.0.join("x/rfb.sock")
    }

    /// The display server's passwords.
    pub fn passwords(&self) -> PathBuf {
        self.0.join("x/passwd")
    }

    /// The user's own part.
    pub fn user(&self) -> PathBuf {
        self.0.join("user")
    }

    /// The X cookie.
    pub fn authority(&self) -> PathBuf {
        self.0.join("user/Xauthority")
    }

    /// The session's own XDG_RUNTIME_DIR, where nothing else gave one.
    pub fn runtime(&self) -> PathBuf {
        self.0.join("user/runtime")
    }

    /// What the display server has to say.
    pub fn display_log(&self) -> PathBuf {
        self.0.join("user/display.log")
    }

    /// What the desktop has to say.
    pub fn desktop_log(&self) -> PathBuf {
        self.0.join("user/desktop.log")
    }

    /// The profile's command as a shell script.
    pub fn command(&self) -> PathBuf {
        self.0.join("user/command")
    }

    /// The longest of the socket paths in it, bytes; must not be over [`MAX_SOCKET_PATH`].
    pub fn longest_socket_path(&self) -> usize {
        let length = |path: PathBuf| path.as_os_str().len();
        length(self.rfb_socket()).max(length(self.control()))
    }

    /// Takes the keeper's lock. The folder must be there.
    ///
    /// # Errors
    /// See [`LockError`].
    pub fn take_lock(&self) -> Result<Lock, LockError> {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o640).open(self.lock());
        let file = match made {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(match self.is_locked().map_err(LockError::Io)? {
                    true => LockError::Taken,
                    false => LockError::Remains,
                });
            }
            Err(error) => return Err(LockError::Io(error)),
        };
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file())) {
            Ok(_) => Ok(Lock(file)),
            Err(Errno::EAGAIN | Errno::EACCES) => Err(LockError::Taken),
            Err(error) => Err(LockError::Io(error.into())),
        }
    }

    /// Looks who is there. Changes nothing.
    ///
    /// # Errors
    /// Those of reading the lock or `ended`; a damaged `ended` is `InvalidData`.
    pub fn look(&self) -> io::Result<Found> {
        match self.is_locked() {
            Ok(true) => Ok(Found::Alive),
            Ok(false) => Ok(Found::Gone { ended: self.read_ended()? }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Missing),
            Err(error) => Err(error),
        }
    }

    /// How it ended, if its keeper could say.
    ///
    /// # Errors
    /// Those of reading; `InvalidData` when the file is damaged.
    pub fn read_ended(&self) -> io::Result<Option<SessionEnded>> {
        let bytes = match fs::read(self.ended()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        SessionEnded::decode(bytes.as_slice())
            .map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Records how it ended, readable by `group` too; durable when this returns.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write_ended(&self, ended: &SessionEnded, group: Option<u32>) -> io::Result<()> {
        let new = self.0.join("ended.new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        if group.is_some() {
            fchown(file.as_fd(), None, group)?;
            file.set_permissions(Permissions::from_mode(0o640))?;
        }
        file.write_all(&ended.encode_to_vec())?;
        file.sync_all()?;
        fs::rename(&new, self.ended())?;
        File::open(&self.0)?.sync_all()
    }

    fn is_locked(&self) -> io::Result<bool> {
        let file = File::open(self.lock())?;
        let mut lock = whole_file();
        fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock))?;
        Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
    }
}

/// A write lock from the first byte to the last.
fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use abide_wire::keeper::session_ended::Cause;

    use super::*;

    #[test]
    fn a_look_tells_living_killed_ended_and_missing_apart() {
        let dir = tempfile::tempdir().unwrap();
        let folder = SessionFolder::new(dir.path());
        assert_eq!(folder.look().unwrap(), Found::Missing);

        let lock = folder.take_lock().unwrap();
        assert_eq!(folder.look().unwrap(), Found::Alive);
        assert!(matches!(folder.take_lock(), Err(LockError::Taken)));

        drop(lock);
        assert_eq!(folder.look().unwrap(), Found::Gone { ended: None });
        assert!(matches!(folder.take_lock(), Err(LockError::Remains)));

        let ended = SessionEnded { cause: Cause::Asked.into(), detail: "asked".into(), at_ms: 7 };
        folder.write_ended(&ended, None).unwrap();
        let found = folder.look().unwrap();
        assert_eq!(found, Found::Gone { ended: Some(ended) });
    }

    #[test]
    fn a_damaged_end_is_an_error_and_not_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let folder = SessionFolder::new(dir.path());
        drop(folder.take_lock().unwrap());
        fs::write(folder.ended(), [0xff; 9]).unwrap();
        assert_eq!(folder.look().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
