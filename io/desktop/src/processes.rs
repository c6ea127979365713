//! Finding and signalling the processes of a session.

use std::fs;
use std::io;

use nix::unistd::getuid;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::MARKER;

/// All that descend from `root`, parents before children; `root` itself is not among them.
///
/// Reads `/proc/PID/task/TID/children`, which kernels for desktops and servers have
/// (`CONFIG_PROC_CHILDREN`).
pub fn descendants(root: u32) -> Vec<u32> {
    let mut found = children(root);
    let mut next = 0;
    while next < found.len() {
        found.extend(children(found[next]));
        next += 1;
    }
    found
}

/// Whether `pid` descends from `root`.
pub fn descends(pid: u32, root: u32) -> bool {
    let mut at = pid;
    while at > 1 {
        match stat_field(at, 1).and_then(|text| text.parse().ok()) {
            Some(parent) if parent == root => return true,
            Some(parent) => at = parent,
            None => return false,
        }
    }
    false
}

/// The processes that carry the session's mark in their environment, the caller apart. Root looks
/// at everybody's, others only at their own.
///
/// Units of the user's systemd are not among them, although Xsession copies its environment to it:
/// they are the user's, not the session's.
pub fn marked(session: &str) -> Vec<u32> {
    let wanted = format!("{MARKER}={session}");
    let own = std::process::id();
    numbered("/proc").filter(|pid| *pid != own && carries(*pid, wanted.as_bytes())).collect()
}

/// When the process started: field 22 of `/proc/PID/stat`, clock ticks since boot. Together with
/// the process id it names one process of this boot. Zombies count as gone.
pub fn start_ticks(pid: u32) -> Option<u64> {
    if matches!(stat_field(pid, 0)?.as_str(), "Z" | "X") {
        return None;
    }
    stat_field(pid, 19)?.parse().ok()
}

/// The n-th field after the name in `/proc/PID/stat`: 0 is the state, 1 the parent.
fn stat_field(pid: u32, index: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may itself hold blanks and parentheses.
    let fields = stat.rsplit_once(')')?.1;
    fields.split_ascii_whitespace().nth(index).map(str::to_owned)
}

/// Sends a signal to each that `still` says is meant, and is not another process by then: the
/// question is asked when the process is already pinned by a descriptor.
pub fn signal_each(pids: &[u32], signal: Signal, still: impl Fn(u32) -> bool) {
    for &pid in pids {
        let Some(raw) = Pid::from_raw(pid as i32) else {
            continue;
        };
        // Fails when it is gone, or when it is another user's: neither can be helped here.
        let Ok(fd) = pidfd_open(raw, PidfdFlags::empty()) else {
            continue;
        };
        if still(pid) {
            let _ = pidfd_send_signal(&fd, signal);
        }
    }
}

/// Whether the process carries the session's mark.
pub fn is_marked(pid: u32, session: &str) -> bool {
    carries(pid, format!("{MARKER}={session}").as_bytes())
}

fn carries(pid: u32, wanted: &[u8]) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else {
        return false;
    };
    let ours = getuid().is_root() || owner(pid).is_ok_and(|uid| uid == getuid().as_raw());
    ours && !is_users_unit(pid) && environment.split(|b| *b == 0).any(|entry| entry == wanted)
}

fn is_users_unit(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text.contains("/user@"))
}

fn owner(pid: u32) -> io::Result<u32> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(format!("/proc/{pid}")).map(|m| m.uid())
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = numbered(&format!("/proc/{pid}/task"));
    tasks
        .filter_map(|tid| fs::read_to_string(format!("/proc/{pid}/task/{tid}/children")).ok())
        .flat_map(|text| numbers(&text))
        .collect()
}

fn numbers(text: &str) -> Vec<u32> {
    text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn numbered(folder: &str) -> impl Iterator<Item = u32> + use<> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    struct Killed(Child);

    impl Drop for Killed {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_marked_child_is_found_both_ways_and_a_zombie_has_no_start() {
        // `exec`, so that the child is one process and its death leaves nothing.
        let child = Command::new("sleep")
            .arg("60")
            .env(MARKER, "6f1f6c55-test-mark")
            .stdin(Stdio::null())
            .spawn();
        let mut child = Killed(child.unwrap());
        let pid = child.0.id();
        // The environment is the child's own only after its exec.
        while !is_marked(pid, "6f1f6c55-test-mark") {
            std::thread::yield_now();
        }
        assert_eq!(marked("6f1f6c55-test-mark"), [pid]);
        assert!(descendants(std::process::id()).contains(&pid));
        assert!(descends(pid, std::process::id()) && !descends(pid, pid));
        assert!(start_ticks(pid).is_some());

        signal_each(&[pid], Signal::KILL, |_| true);
        while start_ticks(pid).is_some() {
            std::thread::yield_now();
        }
        child.0.wait().unwrap();
    }
}
