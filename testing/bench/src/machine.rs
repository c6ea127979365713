//! What was measured, and on which machine: without that no figure means anything.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

use serde::Serialize;

/// The machine, as far as it bears on speed.
#[derive(Debug, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_mib: u64,
    pub kernel: String,
    pub system: String,
    /// Runnable threads over the last minute, before the first measurement: other people's work.
    pub load_before: String,
}

/// The sources that were built.
#[derive(Debug, Serialize)]
pub struct Sources {
    /// `None` outside a git work tree.
    pub commit: Option<String>,
    /// Whether the work tree has changes that the commit lacks.
    pub changed: bool,
    pub optimised: bool,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        let memory = field("/proc/meminfo", "MemTotal", ':');
        let kib = memory.split_whitespace().next().and_then(|it| it.parse::<u64>().ok());
        let load = read("/proc/loadavg");
        Self {
            cpu: field("/proc/cpuinfo", "model name", ':'),
            cores: available_parallelism().map_or(1, usize::from),
            memory_mib: kib.unwrap_or(0) / 1024,
            kernel: read("/proc/sys/kernel/osrelease"),
            system: field("/etc/os-release", "PRETTY_NAME", '=').replace('"', ""),
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
        }
    }
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
