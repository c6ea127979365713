//! What was measured, and on which machine: without that no figure means anything.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;
use std::time::SystemTime;

use serde::Serialize;

/// The machine, as far as it bears on speed.
#[derive(Debug, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_mib: u64,
    pub kernel: String,
    pub system: String,
    /// File system and device of the folder where it was measured.
    pub disk: String,
    /// Runnable threads over the last minute, before the first measurement: other people's work.
    pub load_before: String,
}

/// The sources that were built, and when they were measured.
#[derive(Debug, Serialize)]
pub struct Sources {
    /// `None` outside a git work tree.
    pub commit: Option<String>,
    /// Whether the work tree has changes that the commit lacks.
    pub changed: bool,
    pub optimised: bool,
    /// When the measuring began, RFC 3339 in UTC.
    pub at: String,
}

impl Machine {
    /// This one; files are written to `folder`.
    pub fn here(folder: &Path) -> Self {
        let memory = field("/proc/meminfo", "MemTotal", ':');
        let kib = memory.split_whitespace().next().and_then(|it| it.parse::<u64>().ok());
        let load = read("/proc/loadavg");
        Self {
            cpu: field("/proc/cpuinfo", "model name", ':'),
            cores: available_parallelism().map_or(1, usize::from),
            memory_mib: kib.unwrap_or(0) / 1024,
            kernel: read("/proc/sys/kernel/osrelease"),
            system: field("/etc/os-release", "PRETTY_NAME", '=').replace('"', ""),
            disk: disk(folder),
            load_before: load.split_whitespace().next().unwrap_or_default().to_owned(),
        }
    }
}

impl Sources {
    /// Those that this program was built in.
    pub fn here() -> Self {
        let git = |arguments: &[&str]| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
            let done = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
            let text = String::from_utf8(done.stdout).ok()?;
            done.status.success().then(|| text.trim().to_owned())
        };
        Self {
            commit: git(&["rev-parse", "HEAD"]),
            changed: git(&["status", "--porcelain"]).is_some_and(|it| !it.is_empty()),
            optimised: !cfg!(debug_assertions),
            at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        }
    }
}

/// By the longest mount point that the folder lies below; see proc_pid_mountinfo(5).
fn disk(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_default();
    let mounts = read("/proc/self/mountinfo");
    let below = mounts.lines().filter_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?;
        let mut source = source.split(' ');
        let (kind, device) = (source.next()?, source.next()?);
        folder.starts_with(point).then(|| (point.len(), format!("{kind} on {device}")))
    });
    below.max_by_key(|(length, _)| *length).map(|(_, disk)| disk).unwrap_or_default()
}

/// The value of the first line `NAME SEPARATOR VALUE`; empty if there is none.
fn field(file: &str, name: &str, separator: char) -> String {
    let text = read(file);
    let mut values = text.lines().filter_map(|line| {
        let (key, value) = line.split_once(separator)?;
        (key.trim() == name).then(|| value.trim().to_owned())
    });
    values.next().unwrap_or_default()
}

fn read(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default().trim().to_owned()
}
