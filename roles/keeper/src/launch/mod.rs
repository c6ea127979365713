//! The launcher: the agent's root helper. It starts keepers, removes what killed ones left, and
//! does nothing else.
//!
//! It trusts the agent with nothing but its existence: only the agent's user may connect; each
//! start needs an order for this agent that a broker of this cluster has signed; as whom, with
//! which display server and under which PAM service comes from the order and from root's own
//! settings, never from the agent. What the agent does choose, the profile's command, runs as the
//! person.
//!
//! ```text
//! agent ──LaunchRequest──▶ launcher ──checks──▶ abide-keeper keep   (answers the agent itself)
//!       ──CleanUpRequest─▶          ──────────▶ abide-keeper clean-up
//! a keeper dies without a word ────────────────▶ abide-keeper clean-up --keep-folder
//! ```
//!
//! Keepers outlive the launcher. One that starts looks for sessions whose keeper was killed
//! meanwhile, so a restart forgets nothing.

mod check;
mod clean;
mod used;

use std::collections::HashMap;
use std::fs;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use abide_desktop::{Found, SessionFolder, end_processes};
use abide_model::{AgentId, ClusterId, SessionId};
use abide_ticket::VerifyingKey;
use abide_wire::frame;
use abide_wire::keeper::{
    KeeperReply, KeeperSpec, LauncherRequest, StartFailed, keeper_reply::Reply,
    launcher_request::Request,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use crate::children::{self, Children};
use crate::listener;
use crate::signals::Signals;
use used::UsedOrders;

pub use check::Refusal;
pub use clean::{CleanUp, clean_up};
pub use used::UsedError;

/// How long the agent may take to say what it wants. It is served alone that long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Root's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen; `None` takes systemd's socket.
    pub socket: Option<PathBuf>,
    /// Who may ask.
    pub agent_uid: u32,
    /// Whose members may open the sessions' sockets.
    pub agent_gid: u32,
    /// The agent that start orders must name.
    pub agent: AgentId,
    /// The cluster whose orders count.
    pub cluster: ClusterId,
    /// The key that certifies the brokers' keys.
    pub root_key: VerifyingKey,
    /// Where the sessions' folders are.
    pub run_dir: PathBuf,
    /// Where it is kept, durably, which orders were used.
    pub state_dir: PathBuf,
    /// The display server.
    pub display_server: PathBuf,
    /// The PAM service of sessions.
    pub pam_service: String,
    /// Users below this are the system's and get no desktop.
    pub lowest_uid: u32,
}

/// Why the launcher does not run.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// It must be root.
    #[error("the launcher must run as root")]
    NotRoot,
    /// It cannot listen.
    #[error("cannot listen for the agent")]
    Listen(#[source] io::Error),
    /// The folder of sessions cannot be made or read.
    #[error("cannot use the folder {path}")]
    RunDir {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// What orders were used cannot be told.
    #[error(transparent)]
    Used(#[from] UsedError),
    /// Signals cannot be taken over.
    #[error("cannot become a launcher")]
    SetUp(#[source] io::Error),
}

/// Serves until SIGTERM.
///
/// # Errors
/// See [`LaunchError`].
pub fn run(settings: Settings) -> Result<(), LaunchError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(LaunchError::NotRoot);
    }
    let unusable = |cause| LaunchError::RunDir { path: settings.run_dir.clone(), cause };
    fs::create_dir_all(&settings.run_dir).map_err(unusable)?;
    let used = UsedOrders::open(&settings.state_dir)?;
    let listener = listener::open(settings.socket.as_deref(), settings.agent_uid)
        .map_err(LaunchError::Listen)?;
    let signals = Signals::take().map_err(LaunchError::SetUp)?;
    nix::sys::prctl::set_child_subreaper(true).map_err(|error| LaunchError::SetUp(error.into()))?;
    let launcher = Launcher { settings, listener, signals, used, keepers: HashMap::new() };
    launcher.look_after_the_killed();
    launcher.serve();
    Ok(())
}

struct Launcher {
    settings: Settings,
    listener: UnixListener,
    signals: Signals,
    used: UsedOrders,
    /// Of those that are children of this launcher. Earlier ones' are adopted by pid 1.
    keepers: HashMap<Pid, SessionId>,
}

impl Launcher {
    fn serve(mut self) {
        loop {
            let mut watched = [
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.listener.as_fd(), PollFlags::POLLIN),
            ];
            let _ = poll(&mut watched, PollTimeout::NONE);
            if self.signals.drain().stop {
                return;
            }
            self.reap();
            while let Ok((stream, _)) = self.listener.accept() {
                if let Err(error) = self.answer(stream) {
                    eprintln!("A request was not served: {error}");
                }
            }
        }
    }

    /// Hears one request and hands the connection to the process that answers it.
    fn answer(&mut self, mut stream: UnixStream) -> io::Result<()> {
        let uid = listener::peer_uid(&stream)?;
        if uid != self.settings.agent_uid {
            eprintln!("User {uid} is not the agent and was sent away");
            return Ok(());
        }
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let request: LauncherRequest = frame::read(&mut stream).map_err(io::Error::other)?;
        match request.request {
            Some(Request::Launch(request)) => {
                match check::check(&self.settings, &mut self.used, request) {
                    Ok(allowed) => {
                        let keeper = start_keeper(&allowed.spec, stream)?;
                        self.keepers.insert(keeper, allowed.session);
                    }
                    Err(refusal) => {
                        eprintln!("A start was refused: {refusal}");
                        refuse(&mut stream, &refusal)?;
                    }
                }
            }
            Some(Request::CleanUp(request)) => {
                let session = request.session.parse().map_err(io::Error::other)?;
                self.start_clean_up(session, Stdio::from(OwnedFd::from(stream)), false)?;
            }
            None => {}
        }
        Ok(())
    }

    fn reap(&mut self) {
        while let Children::Dead(pid) = children::look() {
            children::reap(pid);
            let Some(session) = self.keepers.remove(&pid) else { continue };
            if !self.was_killed(session) {
                continue;
            }
            eprintln!("The keeper of session {session} was killed; its remains are removed");
            if let Err(error) = self.start_clean_up(session, Stdio::null(), true) {
                eprintln!("Its remains cannot be removed: {error}");
            }
        }
    }

    fn look_after_the_killed(&self) {
        let entries = fs::read_dir(&self.settings.run_dir).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let sessions = names.filter_map(|name| name.parse::<SessionId>().ok());
        for session in sessions.filter(|session| self.was_killed(*session)) {
            if let Err(error) = end_processes(&self.folder(session), &session.to_string()) {
                eprintln!("Session {session} left something: {error}");
            }
        }
    }

    fn was_killed(&self, session: SessionId) -> bool {
        matches!(self.folder(session).look(), Ok(Found::Gone { ended: None }))
    }

    fn folder(&self, session: SessionId) -> SessionFolder {
        SessionFolder::new(self.settings.run_dir.join(session.to_string()))
    }

    fn start_clean_up(
        &self,
        session: SessionId,
        output: Stdio,
        keep_folder: bool,
    ) -> io::Result<()> {
        let mut command = own_program();
        command.arg("clean-up").arg("--run-dir").arg(&self.settings.run_dir);
        command.arg("--session").arg(session.to_string());
        if keep_folder {
            command.arg("--keep-folder");
        }
        command.stdin(Stdio::null()).stdout(output).spawn().map(drop)
    }
}

/// The connection becomes the keeper's standard output, so the agent hears the keeper's own
/// answer, and a slow PAM module keeps nobody else waiting.
fn start_keeper(spec: &KeeperSpec, stream: UnixStream) -> io::Result<Pid> {
    let memory = rustix::fs::memfd_create("abide-keeper-spec", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut input = fs::File::from(memory);
    input.write_all(&frame::encode(spec)?)?;
    input.rewind()?;
    let child = own_program()
        .arg("keep")
        .stdin(input)
        .stdout(Stdio::from(OwnedFd::from(stream)))
        .spawn()?;
    Ok(Pid::from_raw(child.id() as i32))
}

/// This very program, even if another version has taken its place on the disk meanwhile.
fn own_program() -> Command {
    Command::new("/proc/self/exe")
}

fn refuse(stream: &mut UnixStream, refusal: &Refusal) -> io::Result<()> {
    let failed =
        StartFailed { stage: "asking the launcher".to_owned(), detail: refusal.to_string() };
    frame::write(stream, &KeeperReply { reply: Some(Reply::Failed(failed)) })
}
