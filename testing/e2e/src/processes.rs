//! Which processes belong to a session, as `/proc` tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

/// One process that lives. Zombies do not count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// When it was started, in clock ticks since the boot. With `pid` it names one process for ever.
    pub started: u64,
    /// Its parent's id.
    pub parent: u32,
    /// Its program and arguments.
    pub command: Vec<String>,
}

impl Process {
    /// The last part of its program's path.
    pub fn program(&self) -> &str {
        let path = self.command.first().map_or("", String::as_str);
        path.rsplit('/').next().unwrap_or(path)
    }

    /// Whether this very process lives.
    pub fn lives(&self) -> bool {
        read(self.pid).is_some_and(|now| now.started == self.started)
    }

    /// Its environment, as it was started with.
    pub fn environment(&self) -> BTreeMap<String, String> {
        environment(self.pid)
    }
}

/// A process that lives.
pub fn read(pid: u32) -> Option<Process> {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    // The name in brackets may hold anything; proc(5) counts the state as field 3.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    if matches!(fields.first(), Some(&"Z" | &"X")) {
        return None;
    }
    let (parent, started) = (fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?);
    Some(Process { pid, started, parent, command: words(&fs::read(folder.join("cmdline")).ok()?) })
}

/// All processes that live.
pub fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|it| it.file_name().to_str()?.parse().ok());
    pids.filter_map(read).collect()
}

/// The sessions that some process was started in, each with its processes.
pub fn by_session() -> BTreeMap<String, BTreeSet<Process>> {
    let mut sessions = BTreeMap::<_, BTreeSet<Process>>::new();
    for process in all() {
        if let Some(session) = process.environment().remove(MARK) {
            sessions.entry(session).or_default().insert(process);
        }
    }
    sessions
}

/// The processes of one session: those that carry its mark.
pub fn of_session(session: &str) -> BTreeSet<Process> {
    by_session().remove(session).unwrap_or_default()
}

/// All that this process has started and their kin, whatever they have made of their environment.
pub fn below(pid: u32) -> BTreeSet<Process> {
    let all = all();
    let mut found = BTreeSet::new();
    let mut left = vec![pid];
    while let Some(parent) = left.pop() {
        for child in all.iter().filter(|it| it.parent == parent) {
            if found.insert(child.clone()) {
                left.push(child.pid);
            }
        }
    }
    found
}

/// Every process of a session has the session's id in this variable.
const MARK: &str = "ABIDE_SESSION";

fn environment(pid: u32) -> BTreeMap<String, String> {
    let pairs = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let pairs = words(&pairs).into_iter();
    pairs.filter_map(|it| it.split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned()))).collect()
}

fn words(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    bytes.split(|it| *it == 0).map(|it| String::from_utf8_lossy(it).into_owned()).collect()
}
