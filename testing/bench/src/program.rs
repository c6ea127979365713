//! Processes: those that the benches start, and what they cost.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{fs, num::ParseIntError};

use anyhow::{Context, ensure};
use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, Signal, kill_process_group};

/// How long anything may take to become ready or to go.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// How often it is looked at.
pub const GLANCE: Duration = Duration::from_micros(200);
/// Two looks at a process's memory, so far apart, that differ by at most so many bytes, agree.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
const AGREE: u64 = 16 << 10;

/// A program in a process group of its own, which ends with this value.
pub struct Program {
    child: Child,
    group: Pid,
}

impl Program {
    /// Starts it with nothing to read; what it says goes to `log`.
    pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        use std::os::unix::process::CommandExt;
        let name = command.get_program().to_owned();
        let out = fs::File::create(log).with_context(|| format!("cannot make {log:?}"))?;
        let err = out.try_clone()?;
        command.process_group(0).stdin(Stdio::null()).stdout(out).stderr(err);
        let child = command.spawn().with_context(|| format!("cannot start {name:?}"))?;
        let group = Pid::from_child(&child);
        Ok(Self { child, group })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` gives something.
    pub fn until<T>(&mut self, mut ready: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
        let began = Instant::now();
        loop {
            if let Some(found) = ready() {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("it ended before it was ready: {status}");
            }
            ensure!(began.elapsed() < DEADLINE, "it was not ready after {DEADLINE:?}");
            sleep(GLANCE);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Politely first: an X server then removes what it has in /tmp.
        for (signal, patience) in
            [(Signal::TERM, Duration::from_secs(2)), (Signal::KILL, Duration::MAX)]
        {
            let _ = kill_process_group(self.group, signal);
            let began = Instant::now();
            while began.elapsed() < patience {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    // Also what it has forked and left behind.
                    let _ = kill_process_group(self.group, Signal::KILL);
                    return;
                }
                sleep(GLANCE);
            }
        }
    }
}

/// Why a figure of a process is not known.
#[derive(Debug, thiserror::Error)]
pub enum ProcError {
    #[error("cannot read {0}")]
    Read(String, #[source] io::Error),
    #[error("{0} has no {1}")]
    Field(String, &'static str),
    #[error("{0} holds no number")]
    Number(String, #[source] ParseIntError),
}

/// CPU time that a process has used, all its threads together. Exact to one clock tick (10 ms), see
/// proc_pid_stat(5).
pub fn cpu(pid: u32) -> Result<Duration, ProcError> {
    let [user, system, ..] = times(pid)?;
    Ok(duration(user + system))
}

/// CPU time that a process, its reaped children and its living descendants have used.
pub fn cpu_of_family(pid: u32) -> Result<Duration, ProcError> {
    let mut sum = times(pid)?.iter().sum::<u64>();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for child in children(parent) {
            // It may go in between; then its parent has its time when it reaps it.
            sum += times(child).map_or(0, |times| times.iter().sum());
            parents.push(child);
        }
    }
    Ok(duration(sum))
}

/// Bytes of memory that a process holds: what it shares counts in equal parts for those who share it.
///
/// Taken when two looks in a row agree: a process that has just started others shares its memory with
/// them until they run programs of their own, and may then give some of it back.
pub fn pss(pid: u32) -> anyhow::Result<u64> {
    let began = Instant::now();
    let look = || kibibytes(&format!("/proc/{pid}/smaps_rollup"), "Pss:");
    let mut last = look()?;
    loop {
        sleep(BETWEEN_LOOKS);
        let now = look()?;
        if now.abs_diff(last) <= AGREE {
            return Ok(now);
        }
        ensure!(began.elapsed() < DEADLINE, "the memory of process {pid} does not settle");
        last = now;
    }
}

/// Bytes of memory that a process has mapped and present.
pub fn rss(pid: u32) -> Result<u64, ProcError> {
    kibibytes(&format!("/proc/{pid}/smaps_rollup"), "Rss:")
}

fn kibibytes(file: &str, field: &'static str) -> Result<u64, ProcError> {
    let text = read(file)?;
    let value = text.lines().find_map(|line| line.strip_prefix(field));
    let value = value.and_then(|it| it.trim().strip_suffix(" kB"));
    let value = value.ok_or_else(|| ProcError::Field(file.to_owned(), field))?;
    let number = value.parse::<u64>();
    Ok(1024 * number.map_err(|cause| ProcError::Number(file.to_owned(), cause))?)
}

/// In ticks: user and system; user and system of the children that it has reaped.
fn times(pid: u32) -> Result<[u64; 4], ProcError> {
    let file = format!("/proc/{pid}/stat");
    let text = read(&file)?;
    // Fields 14 to 17; the second, in parentheses, may hold anything.
    let rest = text.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let times: Result<Vec<u64>, _> =
        rest.split_whitespace().skip(11).take(4).map(str::parse).collect();
    let times = times.map_err(|cause| ProcError::Number(file.clone(), cause))?;
    times.try_into().map_err(|_| ProcError::Field(file, "times"))
}

fn duration(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64)
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|it| it.split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn read(file: &str) -> Result<String, ProcError> {
    fs::read_to_string(file).map_err(|cause| ProcError::Read(file.to_owned(), cause))
}
