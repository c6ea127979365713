//! The sessions of an agent as its host sees them: folders, keepers, processes.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use abide_desktop::{Found, SessionFolder, clean_up, processes};
use abide_wire::frame;
use abide_wire::keeper::control_event::Event;
use abide_wire::keeper::control_request::Request;
use abide_wire::keeper::{ControlEvent, ControlRequest, EndSession, KeeperStatus};
use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

/// What one keeper may take to end its session, and to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A living session on its host.
#[derive(Debug, Clone, PartialEq)]
pub struct Keeper {
    /// The session's id.
    pub session: String,
    /// The keeper's process id.
    pub pid: u32,
    /// The display server's.
    pub display_server_pid: u32,
    /// The desktop's, as the keeper started it.
    pub command_pid: u32,
    /// N of `:N`.
    pub display: u32,
}

/// The ids of the sessions that have a folder here.
pub(crate) fn ids(run_dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(run_dir).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut ids: Vec<String> = names.filter(|name| name.parse::<uuid::Uuid>().is_ok()).collect();
    ids.sort();
    ids
}

pub(crate) fn keeper(run_dir: &Path, session: &str) -> anyhow::Result<Keeper> {
    let (status, _) = link(run_dir, session)?;
    Ok(Keeper {
        session: session.to_owned(),
        pid: status.pid,
        display_server_pid: status.display_server_pid,
        command_pid: status.command_pid,
        display: status.display,
    })
}

/// All processes of the session: its keeper, and everything that carries its mark.
pub(crate) fn all_processes(run_dir: &Path, session: &str) -> Vec<u32> {
    let mut all = processes::marked(session);
    all.extend(keeper(run_dir, session).map(|keeper| keeper.pid));
    all.sort_unstable();
    all.dedup();
    all
}

/// Kills every process of the session at once, as a power cut does, and leaves its files.
pub(crate) fn kill(run_dir: &Path, session: &str) {
    let deadline = Instant::now() + PATIENCE;
    let mut victims = all_processes(run_dir, session);
    while !victims.is_empty() && Instant::now() < deadline {
        for &pid in &victims {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                // Gone already, or just forked something that the next round finds.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        victims = processes::marked(session);
    }
}

/// Ends the session and removes whatever it left; by force if asking does not help.
pub(crate) fn remove(run_dir: &Path, session: &str) {
    let folder = SessionFolder::new(run_dir.join(session));
    if matches!(folder.look(), Ok(Found::Alive)) && ask_to_end(run_dir, session).is_err() {
        kill(run_dir, session);
    }
    // Without an agent nobody removes the folder; what fails here is seen by whoever looks for it.
    let _ = clean_up(&folder, session);
}

/// Returns when the keeper is gone.
fn ask_to_end(run_dir: &Path, session: &str) -> anyhow::Result<()> {
    let (_, mut stream) = link(run_dir, session)?;
    let reason = "the cluster is stopped".to_owned();
    let end = ControlRequest { request: Some(Request::End(EndSession { reason })) };
    stream.write_all(&frame::encode(&end)?)?;
    while frame::read::<ControlEvent>(&mut stream).is_ok() {}
    let folder = SessionFolder::new(run_dir.join(session));
    let deadline = Instant::now() + PATIENCE;
    while matches!(folder.look(), Ok(Found::Alive)) {
        anyhow::ensure!(Instant::now() < deadline, "the keeper of {session} does not go");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn link(run_dir: &Path, session: &str) -> anyhow::Result<(KeeperStatus, UnixStream)> {
    let folder = SessionFolder::new(run_dir.join(session));
    let mut stream = UnixStream::connect(folder.control())
        .with_context(|| format!("no keeper of session {session} answers"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    match frame::read::<ControlEvent>(&mut stream)?.event {
        Some(Event::Status(status)) => Ok((status, stream)),
        other => anyhow::bail!("the keeper of session {session} greets with {other:?}"),
    }
}
