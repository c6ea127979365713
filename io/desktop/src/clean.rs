//! Removing what a session left. Each step stands for itself: one that fails stops no other, and
//! the whole may be repeated until nothing is left.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, umount2};
use rustix::process::Signal;

use crate::cgroup::CgroupRecord;
use crate::display::DisplayRecord;
use crate::folder::{Found, SessionFolder};
use crate::processes;

/// How long killed processes may take to be gone. Only one that waits for a dead disk takes longer.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// One thing of a session that could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Remains {
    what: &'static str,
    #[source]
    cause: io::Error,
}

/// Why a session's traces are not all gone.
#[derive(Debug, thiserror::Error)]
pub enum CleanUpError {
    /// Its keeper lives: end the session instead.
    #[error("the session's keeper lives")]
    Alive,
    /// These steps failed; the others are done.
    #[error("the session left something that cannot be removed: {}", list(.0))]
    Remains(Vec<Remains>),
}

/// Ends what is left of a session whose keeper is gone, then removes its folder, X display's socket
/// and cgroup. Done already is done: calling again is harmless.
///
/// # Errors
/// See [`CleanUpError`].
pub fn clean_up(folder: &SessionFolder, session: &str) -> Result<(), CleanUpError> {
    let mut remains = match end_processes(folder, session) {
        Ok(()) => Vec::new(),
        Err(CleanUpError::Remains(remains)) => remains,
        Err(alive) => return Err(alive),
    };
    // As long as something lives, its folder is what finds it again.
    if remains.is_empty() {
        let mut step = |what, result: io::Result<()>| match result {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                remains.push(Remains { what, cause });
            }
            _ => {}
        };
        step("removing the folder", remove_tree(folder.path()));
    }
    match remains.is_empty() {
        true => Ok(()),
        false => Err(CleanUpError::Remains(remains)),
    }
}

/// The first half of [`clean_up`]: no process, cgroup or X display's socket is left, but the folder.
///
/// # Errors
/// See [`CleanUpError`].
pub fn end_processes(folder: &SessionFolder, session: &str) -> Result<(), CleanUpError> {
    if matches!(folder.look(), Ok(Found::Alive)) {
        return Err(CleanUpError::Alive);
    }
    let mut remains = Vec::new();
    let mut step = |what, result: io::Result<()>| {
        if let Err(cause) = result {
            remains.push(Remains { what, cause });
        }
    };
    // One does not stand for the other: a kernel may refuse to start a process in a cgroup, and a
    // process may clear its environment.
    if let Some(record) = CgroupRecord::read(&folder.cgroup_record(), session) {
        step("killing the cgroup", kill_cgroup(&record));
    }
    step("killing the processes", kill_marked(session));
    if let Some(display) = DisplayRecord::read(&folder.display_record()) {
        step("removing the X display's socket", display.remove_socket());
    }
    match remains.is_empty() {
        true => Ok(()),
        false => Err(CleanUpError::Remains(remains)),
    }
}

fn kill_cgroup(record: &CgroupRecord) -> io::Result<()> {
    let Some(cgroup) = record.find() else {
        return Ok(());
    };
    cgroup.kill()?;
    if !cgroup.wait_until_empty(KILL_LIMIT)? {
        return Err(io::ErrorKind::TimedOut.into());
    }
    cgroup.remove()
}

fn kill_marked(session: &str) -> io::Result<()> {
    let until = Instant::now() + KILL_LIMIT;
    loop {
        let found = processes::marked(session);
        if found.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        processes::signal_each(&found, Signal::KILL, |pid| processes::is_marked(pid, session));
        // They are not our children, so nothing tells when they are gone.
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Removes a folder with all that is in it, what the user has mounted there detached first.
///
/// # Errors
/// Those of the file system; that it is not there is `NotFound`.
pub fn remove_tree(folder: &Path) -> io::Result<()> {
    unmount_below(folder)?;
    fs::remove_dir_all(folder)
}

/// Detaches what the user has mounted below the folder (gvfs does in the runtime folder), since
/// not even root may look into another's FUSE mount. Only root needs to and can.
fn unmount_below(folder: &Path) -> io::Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let mut inside: Vec<_> =
        points.map(unescape).filter(|point| Path::new(point).starts_with(folder)).collect();
    inside.reverse();
    for point in inside {
        umount2(point.as_str(), MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?;
    }
    Ok(())
}

/// Blanks, tabs, newlines and backslashes stand as `\ooo` in mountinfo (proc(5)).
fn unescape(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

fn list(remains: &[Remains]) -> String {
    let one = |r: &Remains| format!("{}: {}", r.what, r.cause);
    remains.iter().map(one).collect::<Vec<_>>().join("; ")
}
