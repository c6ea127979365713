//! Signals as something to poll.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The end of a child, and the word to stop. From now on they kill nothing by themselves; what is
/// meant for terminals is ignored, whoever's terminal the caller was started from.
pub struct Signals(SignalFd);

/// What has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Came {
    /// SIGTERM.
    pub stop: bool,
}

impl Signals {
    /// Takes them over.
    ///
    /// # Errors
    /// Those of signalfd(2) and its companions.
    pub fn take() -> io::Result<Self> {
        for ignored in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGPIPE] {
            // SAFETY: no handler of ours is replaced or installed.
            unsafe { signal(ignored, SigHandler::SigIgn) }?;
        }
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.add(Signal::SIGTERM);
        mask.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&mask, flags)?))
    }

    /// Empties the queue. Children are asked by waitid(2), since their signals merge.
    pub fn drain(&self) -> Came {
        let mut came = Came::default();
        while let Ok(Some(one)) = self.0.read_signal() {
            came.stop |= one.ssi_signo == Signal::SIGTERM as u32;
        }
        came
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
