//! Waiting for children.

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

/// How a child ended, for a person: `exit status 1`, `signal SIGKILL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death(WaitStatus);

impl std::fmt::Display for Death {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            WaitStatus::Exited(_, code) => write!(f, "exit status {code}"),
            WaitStatus::Signaled(_, signal, _) => write!(f, "signal {signal}"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// What a look at the children finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Children {
    /// This one is dead, and stays a zombie until [`reap`].
    Dead(Pid),
    /// There are some, all alive.
    Alive,
    /// There is none. To a subreaper that means: no descendant either.
    None,
}

/// Looks without waiting and without reaping.
pub fn look() -> Children {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        match waitid(Id::All, flags) {
            Ok(WaitStatus::StillAlive) => return Children::Alive,
            Ok(status) => match status.pid() {
                Some(pid) => return Children::Dead(pid),
                None => return Children::Alive,
            },
            Err(Errno::EINTR) => {}
            Err(_) => return Children::None,
        }
    }
}

/// Reaps a child that [`look`] found dead.
pub fn reap(pid: Pid) -> Option<Death> {
    waitpid(pid, None).ok().map(Death)
}
