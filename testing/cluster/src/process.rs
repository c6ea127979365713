//! One server process.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A server, running or not, that can be started again.
#[derive(Debug)]
pub(crate) struct Process {
    /// Takes it to its host.
    through: Vec<String>,
    under: Vec<String>,
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
    /// The process that runs it, as it was seen last: the child, or one that a person started.
    seen: Option<u32>,
}

/// What has become of a server without the cluster's doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It has ended, by itself or by a person's hand.
    Gone {
        /// The command that starts it again.
        start: String,
    },
    /// A person has started it again.
    Back {
        /// Its process id.
        pid: u32,
    },
}

impl Process {
    /// Started by this command, `through` the one that takes it to its host; what it says is
    /// appended to `log`.
    pub(crate) fn new(
        through: Vec<String>,
        program: &Path,
        arguments: &[&str],
        log: PathBuf,
    ) -> Self {
        Self {
            through,
            under: Vec::new(),
            program: program.to_owned(),
            arguments: arguments.iter().map(|&it| it.to_owned()).collect(),
            log,
            child: None,
            seen: None,
        }
    }

    /// From the next start on it is the last argument of this command, which must become it
    /// (`exec`): `faketime`, `unshare`. None: it is started itself.
    pub(crate) fn put_under(&mut self, command: &[impl AsRef<str>]) {
        self.under = command.iter().map(|it| it.as_ref().to_owned()).collect();
    }

    /// Starts it, in a process group of its own: Ctrl-C at a terminal is for its owner.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        if self.is_running() {
            bail!("{} runs already", self.program.display());
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = command(self.through.iter().chain(&self.under), &self.program);
        command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        let child = command.spawn();
        let child = child.with_context(|| format!("cannot start {}", self.program.display()))?;
        self.seen = Some(child.id());
        self.child = Some(child);
        Ok(())
    }

    /// What has become of it since the last look, if it was started.
    pub(crate) fn look(&mut self) -> Option<Turn> {
        let child = self.child.as_ref()?.id();
        let now = if self.is_running() { Some(child) } else { self.started_by_hand() };
        match (std::mem::replace(&mut self.seen, now), now) {
            (before, now) if before == now => None,
            (_, Some(pid)) => Some(Turn::Back { pid }),
            (_, None) => Some(Turn::Gone { start: self.command_line() }),
        }
    }

    /// The same command, run by somebody else.
    fn started_by_hand(&self) -> Option<u32> {
        let is_the_same = |words: &[&[u8]]| {
            words.get(1..).is_some_and(|given| {
                given.iter().copied().eq(self.arguments.iter().map(String::as_bytes))
            })
        };
        running_with(is_the_same).into_iter().next()
    }

    /// The command that starts it, for a shell.
    fn command_line(&self) -> String {
        let program = self.program.display().to_string();
        let words = std::iter::once(program).chain(self.arguments.iter().cloned());
        words.collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.seen
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.as_mut().map(Child::try_wait), Some(Ok(None)))
    }

    /// What it said last, for whoever wonders why it is gone.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// Sends the signal, if it runs, and waits for nothing.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            // Our own child that has not been waited for: the id is its, also after its end.
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }

    /// Sends the signal and waits for the end. `None` if it was not running.
    pub(crate) fn stop(&mut self, signal: Signal) -> Option<ExitStatus> {
        self.seen = None;
        let mut child = self.child.take()?;
        if let Ok(None) = child.try_wait() {
            // Our own child that has not been waited for: the id is its.
            let _ = kill_process(Pid::from_child(&child), signal);
        }
        child.wait().ok().or(Some(ExitStatus::from_raw(0)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop(Signal::KILL);
    }
}

/// The processes that have a configuration file below this folder in their argument list.
pub(crate) fn running_with_argument_below(folder: &Path) -> Vec<u32> {
    let prefix = folder.join("").into_os_string();
    let prefix = prefix.as_encoded_bytes();
    let is_below = |word: &&[u8]| word.starts_with(prefix) && word.ends_with(b".toml");
    running_with(|words| words.iter().any(is_below))
}

/// The processes whose command line is as wanted.
fn running_with(wanted: impl Fn(&[&[u8]]) -> bool) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        // Each argument ends with a zero, the last one too.
        let line = line.strip_suffix(&[0]).unwrap_or(&line);
        wanted(&line.split(|byte| *byte == 0).collect::<Vec<_>>())
    })
    .collect()
}

/// The program as the last argument of the words before it, or, without any, by itself.
fn command<'a>(before: impl IntoIterator<Item = &'a String>, program: &Path) -> Command {
    let mut words = before.into_iter();
    match words.next() {
        Some(first) => {
            let mut command = Command::new(first);
            command.args(words).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// Runs a command to its end, `through` another; gives what it wrote to standard output.
pub(crate) fn run(
    through: &[String],
    program: &Path,
    arguments: &[&str],
    input: &str,
) -> anyhow::Result<String> {
    run_command(command(through, program), program, arguments, input)
}

/// The same on this host, as somebody whose home this is.
pub(crate) fn run_at(
    home: &Path,
    program: &Path,
    arguments: &[&str],
    input: &str,
) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    command.env("HOME", home).env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME");
    run_command(command, program, arguments, input)
}

fn run_command(
    mut command: Command,
    program: &Path,
    arguments: &[&str],
    input: &str,
) -> anyhow::Result<String> {
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Ctrl-C at a terminal is for the cluster's owner.
    command.process_group(0);
    let failed = || format!("cannot run {} {}", program.display(), arguments.join(" "));
    let mut child = command.spawn().with_context(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).with_context(failed)?;
    }
    let output = child.wait_with_output().with_context(failed)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} {}: {}\n{said}", program.display(), arguments.join(" "), output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}
