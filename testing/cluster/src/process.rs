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
    end_is_known: bool,
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
            end_is_known: false,
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
        self.child =
            Some(child.with_context(|| format!("cannot start {}", self.program.display()))?);
        self.end_is_known = false;
        Ok(())
    }

    /// Whether it has ended by itself, told once.
    pub(crate) fn has_newly_gone(&mut self) -> bool {
        let gone = self.child.is_some() && !self.is_running();
        gone && !std::mem::replace(&mut self.end_is_known, gone)
    }

    /// The command that starts it, for a shell.
    pub(crate) fn command_line(&self) -> String {
        let program = self.program.display().to_string();
        let words = std::iter::once(program).chain(self.arguments.iter().cloned());
        words.collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
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

    /// Sends the signal and waits for the end. `None` if it was not running.
    pub(crate) fn stop(&mut self, signal: Signal) -> Option<ExitStatus> {
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
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.any(|word| word.starts_with(prefix) && word.ends_with(b".toml"))
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
    command.env("HOME", home).env_remove("XDG_CONFIG_HOME");
    run_command(command, program, arguments, input)
}

fn run_command(
    mut command: Command,
    program: &Path,
    arguments: &[&str],
    input: &str,
) -> anyhow::Result<String> {
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
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
