//! All that belongs to the session while it lives, the loop that watches it, and its end.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use abide_desktop::{
    Cgroup, CleanUpError, DisplayRecord, Lock, SessionFolder, clean_up, processes, remove_tree,
};
use abide_wire::keeper::session_ended::Cause;
use abide_wire::keeper::{KeeperStatus, SessionEnded};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use rustix::process::Signal;

use super::control::Control;
use super::pam::PamSession;
use crate::children::{self, Children};
use crate::signals::Signals;

/// How long a display server that has no clients left may take to end in order.
const SERVER_LIMIT: Duration = Duration::from_secs(1);

/// How long processes may take to die of SIGKILL. One that waits for a dead disk outlives this, and
/// then the keeper; it is named in the log.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// How often the kill is repeated, where there is no cgroup to do it in one: a program may fork
/// while its siblings are being killed.
const KILL_AGAIN: Duration = Duration::from_millis(10);

/// A session's processes and belongings.
pub struct Household {
    pub(super) session: String,
    pub(super) folder: SessionFolder,
    pub(super) agent_gid: Option<u32>,
    pub(super) grace: Duration,
    pub(super) signals: Signals,
    pub(super) cgroup: Option<Cgroup>,
    pub(super) pam: Option<PamSession>,
    /// The display server, until it is reaped.
    pub(super) server: Option<Pid>,
    pub(super) display: Option<DisplayRecord>,
    /// The desktop's first process, until it is reaped.
    pub(super) command: Option<Pid>,
    pub(super) control: Option<Control>,
    pub(super) status: KeeperStatus,
    /// INVARIANT: set once; what came first is why it ended.
    pub(super) end: Option<(Cause, String)>,
    /// Held to the last, so that nobody takes the session for dead before it is.
    pub(super) lock: Lock,
}

impl Household {
    /// How the session is.
    pub fn status(&self) -> &KeeperStatus {
        &self.status
    }

    /// Keeps the session until something ends it; returns when nothing is left of it but the
    /// folder with `ended` and the logs.
    pub fn watch(mut self) {
        while self.end.is_none() {
            self.turn(None);
        }
        self.take_down(self.grace);
        let (cause, detail) = self.end.take().unwrap_or_default();
        let ended = SessionEnded { cause: cause.into(), detail, at_ms: now_ms() };
        log("recording the end", self.folder.write_ended(&ended, self.agent_gid));
        if let Some(control) = &mut self.control {
            control.say_ended(&ended);
        }
        remove(self.folder.control());
    }

    /// Undoes a start that failed: nothing is left.
    pub fn undo(mut self) {
        self.take_down(Duration::ZERO);
        let Self { folder, session, lock, .. } = self;
        drop(lock);
        match clean_up(&folder, &session) {
            // Somebody else has it by now: theirs to clean up.
            Ok(()) | Err(CleanUpError::Alive) => {}
            Err(error) => eprintln!("Undoing the start failed: {error}"),
        }
    }

    /// Ends all processes, closes the PAM session, removes sockets, cookie, passwords and cgroup.
    /// No step stops another.
    fn take_down(&mut self, grace: Duration) {
        self.end_processes(grace);
        if let Some(pam) = self.pam.take() {
            log("closing the PAM session", pam.close().map_err(io::Error::other));
        }
        if let Some(cgroup) = self.cgroup.take() {
            log("removing the cgroup", cgroup.remove());
            remove(self.folder.cgroup_record());
        }
        remove(self.folder.display_record());
        remove(self.folder.authority());
        remove(self.folder.command());
        for folder in [self.folder.server(), self.folder.runtime()] {
            log("removing a folder", present(remove_tree(&folder)));
        }
    }

    /// Programs first, so that they can save what they have while the display is still there; then
    /// the display server; then whatever does not listen.
    fn end_processes(&mut self, grace: Duration) {
        let until = Instant::now() + grace;
        self.reap();
        if !grace.is_zero() {
            self.signal(Signal::TERM, Self::programs);
            // A stopped program hears nothing until it goes on.
            self.signal(Signal::CONT, Self::programs);
            while !self.programs().is_empty() && Instant::now() < until {
                self.turn(Some(until));
            }
        }
        if self.programs().is_empty() {
            self.signal(Signal::TERM, |house| house.server_pid());
            let until = Instant::now() + SERVER_LIMIT;
            while self.reap() && Instant::now() < until {
                self.turn(Some(until));
            }
        }
        self.kill();
    }

    fn kill(&mut self) {
        let until = Instant::now() + KILL_LIMIT;
        while self.reap() {
            if let Some(cgroup) = &self.cgroup {
                let _ = cgroup.kill();
            }
            self.signal(Signal::KILL, |house| processes::descendants(house.status.pid));
            self.turn(Some(Instant::now() + KILL_AGAIN));
            if Instant::now() >= until {
                let left = processes::descendants(self.status.pid);
                eprintln!("Some processes cannot be killed: {left:?}");
                return;
            }
        }
    }

    /// All processes of the session but the display server.
    fn programs(&self) -> Vec<u32> {
        let mut found = processes::descendants(self.status.pid);
        let server = self.server_pid();
        found.retain(|pid| !server.contains(pid));
        found
    }

    fn server_pid(&self) -> Vec<u32> {
        self.server.iter().map(|pid| pid.as_raw() as u32).collect()
    }

    fn signal(&self, signal: Signal, whom: impl Fn(&Self) -> Vec<u32>) {
        let keeper = self.status.pid;
        processes::signal_each(&whom(self), signal, |pid| processes::descends(pid, keeper));
    }

    /// Waits until something happens, or the time is up, and takes note of it.
    fn turn(&mut self, until: Option<Instant>) {
        let left = match until {
            None => PollTimeout::NONE,
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                // Rounded up: a wait of nothing would spin through the last millisecond.
                let left = left + Duration::from_micros(999);
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
        };
        let mut watched = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if let Some(control) = &self.control {
            let sockets = control.descriptors();
            watched.extend(sockets.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        }
        let _ = poll(&mut watched, left);
        drop(watched);
        if self.signals.drain().stop {
            self.note(Cause::Signalled, "SIGTERM".to_owned());
        }
        self.reap();
        if let Some(reason) = self.control.as_mut().and_then(Control::serve) {
            self.note(Cause::Asked, reason);
        }
    }

    /// Reaps the dead. Whether any child lives: as a subreaper, whether any process of the session
    /// does.
    fn reap(&mut self) -> bool {
        let mut command_ended = None;
        let any = loop {
            let pid = match children::look() {
                Children::Dead(pid) => pid,
                Children::Alive => break true,
                Children::None => break false,
            };
            let death = children::reap(pid).map_or_else(String::new, |death| death.to_string());
            if self.server == Some(pid) {
                self.server = None;
                // One that ended in order has done so itself.
                if let Some(display) = &self.display {
                    log("removing the X display's socket", display.remove_socket());
                }
                self.note(Cause::DisplayServerExited, death);
            } else if self.command == Some(pid) {
                self.command = None;
                command_ended = Some(death);
            }
        };
        // Last: a desktop found dead together with its display server died of it.
        if let Some(death) = command_ended {
            self.note(Cause::CommandExited, death);
        }
        any
    }

    fn note(&mut self, cause: Cause, detail: String) {
        self.end.get_or_insert((cause, detail));
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

fn remove(file: std::path::PathBuf) {
    log("removing a file", present(fs::remove_file(file)));
}

fn present(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn log(what: &str, result: io::Result<()>) {
    if let Err(error) = result {
        eprintln!("A step of the end failed: {what}: {error}");
    }
}
