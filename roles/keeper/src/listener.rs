//! The helpers' sockets.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

/// The first descriptor that systemd hands over (sd_listen_fds(3)).
const FIRST: i32 = 3;

/// Listens where told to, for one user and root; or, without a path, on the socket that systemd
/// has made, and whose rights are its unit's.
///
/// # Errors
/// Those of the socket; `NotFound` when there is neither a path nor a socket of systemd's.
pub fn open(path: Option<&Path>, only: u32) -> io::Result<UnixListener> {
    let listener = match path {
        Some(path) => bind(path, only)?,
        None => from_systemd()?,
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Who connected.
///
/// # Errors
/// Those of getsockopt(2).
pub fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    Ok(getsockopt(stream, PeerCredentials)?.uid())
}

fn bind(path: &Path, only: u32) -> io::Result<UnixListener> {
    let listener = match UnixListener::bind(path) {
        // Left by an earlier process, unless somebody answers.
        Err(error)
            if error.kind() == io::ErrorKind::AddrInUse && UnixStream::connect(path).is_err() =>
        {
            fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        other => other?,
    };
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    chown(path, Some(only), None)?;
    Ok(listener)
}

fn from_systemd() -> io::Result<UnixListener> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let ours = number("LISTEN_PID") == Some(std::process::id());
    if !ours || number("LISTEN_FDS") != Some(1) {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "no socket was given: neither a path nor one from systemd",
        ));
    }
    // SAFETY: by systemd's protocol the descriptor is open and ours, and nobody else takes it.
    let fd = unsafe { OwnedFd::from_raw_fd(FIRST) };
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    Ok(fd.into())
}
