//! The display server: TigerVNC's Xvnc.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use abide_desktop::SessionFolder;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Pid;

use super::plan::Server;

/// How long a display server may take until it has a display. On a loaded host with hundreds of
/// logins at once seconds are normal.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// The command line, as tried with TigerVNC 1.12.
///
/// `VncAuth` only, no `None`: before the folder is closed the user could put a link to another
/// user's socket in place of `rfb.sock`. The agent would follow it, but its passwords fit nowhere
/// else; `None` would let it in. It is also the only way to a view-only connection.
pub fn argv(
    server: &Server,
    folder: &SessionFolder,
    title: &str,
    number_to: BorrowedFd<'_>,
) -> Vec<OsString> {
    let mut argv: Vec<OsString> = vec![server.program.clone().into()];
    let mut flag = |name: &str, value: &dyn AsRef<std::ffi::OsStr>| {
        argv.push(name.into());
        argv.push(value.as_ref().into());
    };
    flag("-displayfd", &number_to.as_raw_fd().to_string());
    flag("-auth", &folder.authority());
    flag("-geometry", &format!("{}x{}", server.width, server.height));
    flag("-depth", &server.depth.to_string());
    flag("-desktop", &title);
    flag("-rfbunixpath", &folder.rfb_socket());
    // Without the leading 0 Xvnc reads it as a decimal number.
    flag("-rfbunixmode", &"0660");
    flag("-rfbport", &"-1");
    flag("-SecurityTypes", &"VncAuth");
    flag("-PasswordFile", &folder.passwords());
    flag("-nolisten", &"tcp");
    // A few bare connects would lock everybody out otherwise.
    argv.push("-UseBlacklist=0".into());
    // A second viewer would throw the first out otherwise; who may watch is the agent's to say.
    argv.push("-AlwaysShared=1".into());
    argv.push("-AcceptSetDesktopSize=1".into());
    // Or the server starts anew, forgetting size and settings, when a desktop's only program
    // closes its connection between two windows.
    argv.push("-noreset".into());
    argv
}

/// Reads the number that the server writes to `-displayfd` once it serves. `None` when it closed
/// the pipe without, so has failed.
///
/// # Errors
/// `TimedOut`, and those of reading.
pub fn wait_for_number(from: OwnedFd) -> io::Result<Option<u32>> {
    let until = Instant::now() + READY_LIMIT;
    let mut pipe = File::from(from);
    let mut text = Vec::new();
    while !text.ends_with(b"\n") {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], left) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut some = [0; 16];
        let length = pipe.read(&mut some)?;
        if length == 0 || text.len() > 16 {
            return Ok(None);
        }
        text.extend_from_slice(&some[..length]);
    }
    let text = String::from_utf8_lossy(&text);
    Ok(text.trim().parse().ok())
}

/// Proves that the socket accepts, and that it is our server's and nobody else's.
///
/// # Errors
/// Those of connecting; `PermissionDenied` when another process listens there.
pub fn check_socket(socket: &Path, server: Pid) -> io::Result<()> {
    let connection = UnixStream::connect(socket)?;
    let peer = getsockopt(&connection, PeerCredentials)?;
    match peer.pid() == server.as_raw() {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("process {} listens on the display's socket", peer.pid()),
        )),
    }
}

/// A pipe for the number: its reading and its writing end, both closed at exec.
///
/// # Errors
/// Those of pipe(2).
pub fn number_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = io::pipe()?;
    debug_assert!(write.as_raw_fd() > 2);
    Ok((read.into(), write.into()))
}
