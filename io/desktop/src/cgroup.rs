//! The session's cgroup, where there is a version 2 hierarchy that we may write to.
//!
//! Also a hybrid host's (`/sys/fs/cgroup/unified`) will do: killing needs no controller. The new
//! cgroup is made inside the maker's own, so that whatever limits that one limits the session, and
//! logind, which goes by the path, still knows whose it is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Where a session's cgroup is, as written into its folder before the cgroup is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupRecord(String);

/// One session's cgroup.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl CgroupRecord {
    /// Where this process may make a cgroup for the session; `None` without a version 2
    /// hierarchy.
    pub fn plan(session: &str) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let parent = own_folder(&mounts, &own)?;
        let path = parent.join(name(session));
        Some(Self(path.into_os_string().into_string().ok()?))
    }

    /// The record in a session's folder, if it is one of this session: whoever wrote it, nothing
    /// else may be killed by it.
    pub fn read(file: &Path, session: &str) -> Option<Self> {
        let path = fs::read_to_string(file).ok()?;
        let ours = Path::new(&path).file_name()? == name(session).as_str();
        (ours && path.starts_with("/sys/fs/cgroup/")).then_some(Self(path))
    }

    /// Writes it down.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        fs::write(file, &self.0)
    }

    /// Makes the cgroup.
    ///
    /// # Errors
    /// Those of the file system: as a rule that it is not ours to write to; `Unsupported` where the
    /// kernel cannot kill a cgroup (before Linux 5.14).
    pub fn make(&self) -> io::Result<Cgroup> {
        fs::create_dir(&self.0)?;
        let made = Cgroup { path: PathBuf::from(&self.0) };
        // Not tried by killing it while it is empty: Linux 6.14 and later would then kill
        // whatever clone3(2) starts in it.
        if made.path.join("cgroup.kill").exists() {
            return Ok(made);
        }
        let _ = made.remove();
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The cgroup, if it is there.
    pub fn find(&self) -> Option<Cgroup> {
        let path = PathBuf::from(&self.0);
        path.is_dir().then_some(Cgroup { path })
    }
}

impl Cgroup {
    /// Its folder, for clone3(2) to start processes in.
    ///
    /// # Errors
    /// Those of opening.
    pub fn folder(&self) -> io::Result<OwnedFd> {
        Ok(File::open(&self.path)?.into())
    }

    /// The processes in it and below it.
    pub fn members(&self) -> Vec<u32> {
        let mut found = Vec::new();
        for folder in self.folders() {
            let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        }
        found
    }

    /// Kills all that is in it, however fast it forks.
    ///
    /// # Errors
    /// Those of writing `cgroup.kill`: `NotFound` before Linux 5.14.
    pub fn kill(&self) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.path.join("cgroup.kill"))?.write_all(b"1")
    }

    /// Waits until no process is in it. `false` when the time was up first.
    ///
    /// # Errors
    /// Those of watching it.
    pub fn wait_until_empty(&self, limit: Duration) -> io::Result<bool> {
        let until = Instant::now() + limit;
        let events = match File::open(self.path.join("cgroup.events")) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(error),
        };
        loop {
            // Reading through the descriptor tells the kernel what has been seen; it then reports
            // every later change as urgent data.
            let mut seen = [0; 256];
            let length = match rustix::io::pread(&events, &mut seen, 0) {
                Ok(length) => length,
                Err(rustix::io::Errno::NODEV) => return Ok(true),
                Err(error) => return Err(error.into()),
            };
            if !populated(&String::from_utf8_lossy(&seen[..length])) {
                return Ok(true);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let mut watched = [PollFd::new(events.as_fd(), PollFlags::POLLPRI)];
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut watched, left) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Removes it and those below it. They must be empty.
    ///
    /// # Errors
    /// The first of the file system's; `NotFound` counts as done.
    pub fn remove(&self) -> io::Result<()> {
        for folder in self.folders().iter().rev() {
            match fs::remove_dir(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Itself and all below it, parents first.
    fn folders(&self) -> Vec<PathBuf> {
        let mut found = vec![self.path.clone()];
        let mut next = 0;
        while next < found.len() {
            let entries = fs::read_dir(&found[next]).into_iter().flatten().flatten();
            let inner = entries.filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()));
            let inner: Vec<_> = inner.map(|entry| entry.path()).collect();
            found.extend(inner);
            next += 1;
        }
        found
    }
}

fn name(session: &str) -> String {
    format!("abide-{session}")
}

fn populated(events: &str) -> bool {
    events.lines().any(|line| line == "populated 1")
}

/// The folder of this process's own cgroup: `mounts` is a mountinfo file (proc(5)), `own` a
/// `/proc/PID/cgroup` (cgroups(7)).
fn own_folder(mounts: &str, own: &str) -> Option<PathBuf> {
    let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        if after.split(' ').next()? != "cgroup2" {
            return None;
        }
        let mut fields = before.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let inside = Path::new(own).strip_prefix(root).ok()?;
        Some(Path::new(point).join(inside))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_cgroup_is_found_on_unified_hybrid_and_container_hosts() {
        let unified = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw";
        let hybrid = "31 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
        let container = "40 39 0:26 /box /sys/fs/cgroup ro - cgroup2 cgroup rw";
        for (mounts, own, expected) in [
            (unified, "0::/", Some("/sys/fs/cgroup/")),
            (unified, "0::/system.slice/a.service", Some("/sys/fs/cgroup/system.slice/a.service")),
            (hybrid, "3:cpu:/x\n0::/y", Some("/sys/fs/cgroup/unified/y")),
            (container, "0::/box/in", Some("/sys/fs/cgroup/in")),
            (container, "0::/elsewhere", None),
            ("31 30 0:27 / /c rw - cgroup cgroup rw", "3:cpu:/x", None),
            (unified, "3:cpu:/x", None),
        ] {
            assert_eq!(own_folder(mounts, own), expected.map(PathBuf::from), "{own}");
        }
    }

    #[test]
    fn a_record_of_anything_else_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cgroup");
        for (text, believed) in [
            ("/sys/fs/cgroup/unified/abide-s1", true),
            ("/sys/fs/cgroup/a/abide-s1", true),
            ("/sys/fs/cgroup/system.slice", false),
            ("/sys/fs/cgroup/abide-s2", false),
            ("/tmp/abide-s1", false),
            ("", false),
        ] {
            fs::write(&file, text).unwrap();
            assert_eq!(CgroupRecord::read(&file, "s1").is_some(), believed, "{text}");
        }
    }
}
