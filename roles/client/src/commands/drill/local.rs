//! The broker of this host: which it is, and its process.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use abide_tls::{Identity, IdentityError, Node};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

/// A broker that runs on this host.
#[derive(Debug)]
pub(super) struct Local {
    /// Its id in the cluster.
    pub(super) broker: String,
    pid: Pid,
}

/// Why this host's broker cannot be hurt.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// There is no identity of a broker.
    #[error("there is no broker on this host, or it may not be seen ({})", folder.display())]
    Identity {
        /// The identity's folder.
        folder: PathBuf,
        /// Why.
        #[source]
        cause: IdentityError,
    },
    /// The identity is an agent's.
    #[error("{} is not a broker's identity", .0.display())]
    NoBroker(PathBuf),
    /// It does not run.
    #[error("the broker of this host does not run")]
    NotRunning,
    /// Its process id cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The process cannot be signalled.
    #[error("cannot send a signal to the broker's process {pid}")]
    Signal {
        /// The process.
        pid: i32,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

impl LocalError {
    pub(super) fn advice(&self) -> Option<String> {
        let denied = |cause: &io::Error| cause.kind() == io::ErrorKind::PermissionDenied;
        match self {
            Self::Read { cause, .. } | Self::Signal { cause, .. } if denied(cause) => {
                Some("Run this as root or as the broker's user, logged in there.".to_owned())
            }
            Self::Identity { .. } => {
                Some("On a broker's host, as root; --config names its configuration.".to_owned())
            }
            _ => None,
        }
    }
}

impl Local {
    pub(super) fn find(identity_dir: &Path, pid_file: &Path) -> Result<Self, LocalError> {
        let identity = Identity::load(identity_dir)
            .map_err(|cause| LocalError::Identity { folder: identity_dir.to_owned(), cause })?;
        let Node::Broker(broker) = &identity.peer().node else {
            return Err(LocalError::NoBroker(identity_dir.to_owned()));
        };
        Ok(Self { broker: broker.to_string(), pid: running(pid_file)? })
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw_pid()
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<(), LocalError> {
        kill_process(self.pid, signal)
            .map_err(|cause| LocalError::Signal { pid: self.pid(), cause: cause.into() })
    }
}

/// The process that holds the file's lock, by the number in it.
fn running(pid_file: &Path) -> Result<Pid, LocalError> {
    let failed = |cause| LocalError::Read { path: pid_file.to_owned(), cause };
    let file = match File::open(pid_file) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            return Err(LocalError::NotRunning);
        }
        file => file.map_err(failed)?,
    };
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return Err(LocalError::NotRunning);
    }
    let text = fs::read_to_string(pid_file).map_err(failed)?;
    text.trim().parse().ok().and_then(Pid::from_raw).ok_or(LocalError::NotRunning)
}

/// A process that stands still until this is dropped, also when the drill is given up.
#[derive(Debug)]
pub(super) struct Paused<'a>(&'a Local);

impl<'a> Paused<'a> {
    pub(super) fn begin(local: &'a Local) -> Result<Self, LocalError> {
        local.signal(Signal::STOP)?;
        Ok(Self(local))
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        // It may have been killed meanwhile.
        let _ = self.0.signal(Signal::CONT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_nobody_holds_is_no_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.pid");
        assert!(matches!(running(&path), Err(LocalError::NotRunning)));
        fs::write(&path, "1\n").unwrap();
        assert!(matches!(running(&path), Err(LocalError::NotRunning)));
        let held = File::open(&path).unwrap();
        flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert_eq!(running(&path).unwrap().as_raw_pid(), 1);
    }
}
