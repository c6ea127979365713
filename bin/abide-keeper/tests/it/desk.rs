//! A keeper under test, and its end whatever happens.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use abide_desktop::{CgroupRecord, DisplayRecord, SessionFolder, clean_up, processes};
use abide_wire::frame;
use abide_wire::keeper::control_event::Event;
use abide_wire::keeper::control_request::Request;
use abide_wire::keeper::keeper_reply::Reply;
use abide_wire::keeper::{
    AgentUser, ControlEvent, ControlRequest, DisplayServer, EndSession, KeeperReply, KeeperSpec,
    KeeperStatus, SessionEnded, StartFailed, keeper_spec::Identity,
};
use tempfile::TempDir;

pub const KEEPER: &str = env!("CARGO_BIN_EXE_abide-keeper");

/// Longer than anything here takes on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until it is so.
#[track_caller]
pub fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !so() {
        assert!(Instant::now() < until, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A folder for sessions and people.
pub struct Desk {
    pub dir: TempDir,
}

impl Desk {
    pub fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests need root");
        // Short, for the sockets' sake.
        let dir = tempfile::Builder::new().prefix("abk").tempdir_in("/tmp").unwrap();
        Self { dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    /// A session of one program, as the agent's own user.
    pub fn spec(&self, command: &[&str]) -> KeeperSpec {
        let session = fresh_session();
        let text = |path: PathBuf| path.into_os_string().into_string().unwrap();
        KeeperSpec {
            user: "alice".into(),
            folder: text(self.path().join(&session)),
            session,
            identity: Some(Identity::AgentUser(AgentUser {
                home: text(self.home()),
                runtime_dir: text(self.path().join("runtime")),
            })),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            display_server: Some(DisplayServer {
                program: "/usr/bin/Xvnc".into(),
                width: 640,
                height: 480,
                depth: 24,
            }),
            environment: Default::default(),
            grace_ms: 300,
            plain: true,
        }
    }

    /// What a program of the session has written into its home, once the line is whole.
    pub fn read_home(&self, name: &str) -> String {
        let path = self.home().join(name);
        let read = || fs::read_to_string(&path).unwrap_or_default();
        eventually(&format!("{name} is written"), || read().ends_with('\n'));
        read()
    }
}

fn fresh_session() -> String {
    let mut bytes = [0; 6];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom").unwrap(), &mut bytes).unwrap();
    let number = bytes.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    format!("0190a6f0-0000-7000-8000-{number:012x}")
}

/// A keeper that keeps a session. Dropped, nothing is left of it.
pub struct Kept {
    pub child: Child,
    pub status: KeeperStatus,
    pub folder: SessionFolder,
    pub session: String,
}

/// Starts a keeper with this command line.
pub fn try_start_by(mut command: Command, spec: &KeeperSpec) -> Result<Kept, StartFailed> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let folder = SessionFolder::new(&spec.folder);
    let mut guard = Kept {
        status: KeeperStatus::default(),
        folder,
        session: spec.session.clone(),
        child: {
            frame::write(&mut child.stdin.take().unwrap(), spec).unwrap();
            child
        },
    };
    let mut from = guard.child.stdout.take().unwrap();
    let reply: KeeperReply = frame::read(&mut from).unwrap();
    match reply.reply.unwrap() {
        Reply::Started(status) => {
            guard.status = status;
            Ok(guard)
        }
        Reply::Failed(failed) => {
            guard.child.wait().unwrap();
            Err(failed)
        }
    }
}

pub fn keeper() -> Command {
    let mut command = Command::new(KEEPER);
    command.arg("keep");
    command
}

/// A keeper that sees no cgroup of version 2, as in many containers.
pub fn keeper_without_cgroup() -> Command {
    let mut command = Command::new("unshare");
    let script = "while read -r _ point type _; do \
                      [ \"$type\" = cgroup2 ] && umount -l \"$point\"; \
                  done < /proc/mounts; exec \"$0\" keep";
    command.args(["--mount", "sh", "-c", script, KEEPER]);
    command
}

pub fn start(spec: &KeeperSpec) -> Kept {
    try_start_by(keeper(), spec).unwrap()
}

impl Kept {
    pub fn keeper_lives(&self) -> bool {
        processes::start_ticks(self.status.pid) == Some(self.status.start_ticks)
    }

    pub fn control(&self) -> UnixStream {
        let stream = UnixStream::connect(self.folder.control()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Asks for the end and waits for it.
    pub fn end(&mut self, reason: &str) -> SessionEnded {
        let mut control = self.control();
        let end = Request::End(EndSession { reason: reason.into() });
        frame::write(&mut control, &ControlRequest { request: Some(end) }).unwrap();
        self.wait_for_end(control)
    }

    /// Waits for the end on this connection, then for the keeper's.
    pub fn wait_for_end(&mut self, mut control: UnixStream) -> SessionEnded {
        loop {
            let event: ControlEvent = frame::read(&mut control).unwrap();
            if let Some(Event::Ended(ended)) = event.event {
                self.child.wait().unwrap();
                assert_eq!(self.folder.read_ended().unwrap().as_ref(), Some(&ended));
                return ended;
            }
        }
    }

    /// What must not be there after the end. Call it while the session lives.
    pub fn traces(&self) -> Traces {
        let number = DisplayRecord::read(&self.folder.display_record()).unwrap().number;
        Traces {
            session: self.session.clone(),
            files: vec![
                self.folder.rfb_socket(),
                self.folder.control(),
                self.folder.authority(),
                self.folder.passwords(),
            ],
            display: format!("/tmp/.X11-unix/X{number}").into(),
            cgroup: CgroupRecord::read(&self.folder.cgroup_record(), &self.session),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.status.pid != 0 {
            let keeper = [self.status.pid];
            let ours = |pid| processes::start_ticks(pid) == Some(self.status.start_ticks);
            processes::signal_each(&keeper, rustix::process::Signal::KILL, ours);
            while self.keeper_lives() {
                std::thread::yield_now();
            }
        }
        if let Err(error) = clean_up(&self.folder, &self.session) {
            let _ = writeln!(std::io::stderr(), "{error}");
        }
    }
}

pub struct Traces {
    session: String,
    files: Vec<PathBuf>,
    /// Another server may have the number as soon as it is free, so what is asked of it at the end
    /// is that somebody answers.
    display: PathBuf,
    cgroup: Option<CgroupRecord>,
}

impl Traces {
    pub fn has_cgroup(&self) -> bool {
        self.cgroup.is_some()
    }

    #[track_caller]
    pub fn assert_all_there(&self) {
        for file in self.files.iter().chain([&self.display]) {
            assert!(file.symlink_metadata().is_ok(), "{} is missing", file.display());
        }
    }

    #[track_caller]
    pub fn assert_all_gone(&self) {
        for file in &self.files {
            assert!(file.symlink_metadata().is_err(), "{} is left", file.display());
        }
        // Asked again, since another server that takes the number binds before it listens.
        let refused = |error: std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
        eventually(&format!("{} is no dead server's", self.display.display()), || {
            !UnixStream::connect(&self.display).is_err_and(refused)
        });
        assert_eq!(processes::marked(&self.session), [0; 0], "processes are left");
        let cgroup = self.cgroup.as_ref().and_then(CgroupRecord::find);
        assert!(cgroup.is_none(), "{cgroup:?} is left");
    }
}

/// Makes a command leak what a clean slate must not have.
pub fn dirty(command: &mut Command) {
    command.env("SECRET", "of the agent's");
    let leak = || {
        use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
        // SAFETY: the default handlers stay; a descriptor is made that exec does not close.
        unsafe {
            signal(Signal::SIGQUIT, SigHandler::SigIgn)?;
            nix::libc::dup2(1, 77);
        }
        SigSet::from(Signal::SIGUSR1).thread_block()?;
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o007));
        Ok(())
    };
    // SAFETY: only calls that are safe between fork and exec.
    unsafe { command.pre_exec(leak) };
}
