//! The login helper: the broker's root helper. It asks PAM whether people are who they say.
//!
//! Password hashing never runs where Raft runs: each login is a process of its own, of low
//! priority, that ends with the login. Only the broker's user may connect. The PAM service is
//! root's setting.
//!
//! ```text
//! broker ──connects──▶ login-helper ──▶ abide-keeper login     one per login
//!        ◀─────────── prompts, answers ───────────▶   │
//!                                                     └─▶ accepted | refused, and ends
//! ```
//!
//! Answers are never written anywhere, and wiped as soon as PAM has them.

mod conversation;
mod one;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::children::{self, Children};
use crate::listener;
use crate::signals::Signals;

pub use one::{LoginError, one};

/// Root's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen; `None` takes systemd's socket.
    pub socket: Option<PathBuf>,
    /// Who may ask.
    pub broker_uid: u32,
    /// The PAM service.
    pub service: String,
    /// Logins at once. One more waits until another is done: slow, not failed.
    pub most: usize,
    /// How long a login may take, a person's typing included.
    pub limit: Duration,
}

/// Why the helper does not run.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// PAM needs it.
    #[error("the login helper must run as root")]
    NotRoot,
    /// It cannot listen.
    #[error("cannot listen for the broker")]
    Listen(#[source] io::Error),
    /// Signals cannot be taken over.
    #[error("cannot become a login helper")]
    SetUp(#[source] io::Error),
}

/// Serves until SIGTERM.
///
/// # Errors
/// See [`HelperError`].
pub fn run(settings: &Settings) -> Result<(), HelperError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(HelperError::NotRoot);
    }
    let listener = listener::open(settings.socket.as_deref(), settings.broker_uid)
        .map_err(HelperError::Listen)?;
    let signals = Signals::take().map_err(HelperError::SetUp)?;
    let mut running = 0;
    loop {
        let mut watched = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        if running < settings.most {
            watched.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN));
        }
        let _ = poll(&mut watched, PollTimeout::NONE);
        if signals.drain().stop {
            return Ok(());
        }
        while let Children::Dead(pid) = children::look() {
            children::reap(pid);
            running -= 1;
        }
        while running < settings.most {
            match accept(&listener, settings) {
                Ok(true) => running += 1,
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    eprintln!("A login was not served: {error}");
                    break;
                }
            }
        }
    }
}

/// Whether a login was begun.
fn accept(listener: &UnixListener, settings: &Settings) -> io::Result<bool> {
    let (stream, _) = listener.accept()?;
    let uid = listener::peer_uid(&stream)?;
    if uid != settings.broker_uid {
        eprintln!("User {uid} is not the broker and was sent away");
        return Ok(false);
    }
    stream.set_nonblocking(false)?;
    // A fresh program, not just a fork: nothing of one login is in the memory of the next.
    Command::new("/proc/self/exe")
        .arg("login")
        .arg("--service")
        .arg(&settings.service)
        .arg("--seconds")
        .arg(settings.limit.as_secs().to_string())
        .stdin(Stdio::from(OwnedFd::from(stream)))
        .stdout(Stdio::null())
        .spawn()?;
    Ok(true)
}
