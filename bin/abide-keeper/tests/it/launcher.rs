//! The launcher, with orders as brokers sign them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use abide_desktop::{Found, SessionFolder, processes};
use abide_model::{AgentId, BrokerId, ClusterId, InvalidId, Timestamp};
use abide_ticket::{KeyCertificate, SigningKey, StartOrder};
use abide_wire::frame;
use abide_wire::keeper::keeper_reply::Reply;
use abide_wire::keeper::launcher_request::Request;
use abide_wire::keeper::{
    CleanUpReply, CleanUpRequest, KeeperReply, KeeperSpec, KeeperStatus, LaunchRequest,
    LauncherRequest, LoginUser, keeper_spec::Identity,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::desk::{Desk, KEEPER, eventually};
use crate::namespace::{self, AGENT};
use crate::rfb::lets_in;

struct Launcher {
    child: Child,
    desk: Desk,
    root: SigningKey,
    broker: SigningKey,
    agent_uid: String,
}

/// Ends what the sessions left, also when a test fails.
impl Drop for Launcher {
    fn drop(&mut self) {
        self.stop();
        let sessions = fs::read_dir(self.run_dir()).into_iter().flatten().flatten();
        for folder in sessions {
            let session = folder.file_name().into_string().unwrap();
            for pid in processes::marked(&session) {
                let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
            }
            let folder = SessionFolder::new(folder.path());
            // The keeper ends with the last process of its session.
            eventually("the keeper ends", || !matches!(folder.look(), Ok(Found::Alive)));
            let _ = abide_desktop::clean_up(&folder, &session);
        }
    }
}

fn id<T: std::str::FromStr<Err = InvalidId>>(text: &str) -> T {
    text.parse().unwrap()
}

fn cluster() -> ClusterId {
    id("0190a6f0-0000-7000-8000-00000000000c")
}

fn agent() -> AgentId {
    id(&"a".repeat(32))
}

fn launcher(agent_uid: u32) -> Launcher {
    let desk = Desk::new();
    fs::set_permissions(desk.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let pam = "account required pam_unix.so\nauth required pam_permit.so\n\
               session required pam_unix.so\n";
    namespace::enter(desk.path(), &[("abide", pam.to_owned())]);
    let root = SigningKey::from_seed(&[1; 32]);
    let broker = SigningKey::from_seed(&[2; 32]);
    let mut launcher = Launcher {
        child: Command::new("true").spawn().unwrap(),
        desk,
        root,
        broker,
        agent_uid: agent_uid.to_string(),
    };
    launcher.run();
    launcher
}

impl Launcher {
    fn run(&mut self) {
        let path = |name: &str| self.desk.path().join(name);
        self.child.wait().unwrap();
        let mut command = Command::new(KEEPER);
        command.args(["launch", "--agent-user", &self.agent_uid, "--lowest-uid", "1000"]);
        command.args(["--agent-group", &AGENT.to_string(), "--agent-id", agent().as_str()]);
        command.args(["--cluster", &cluster().to_string(), "--pam-service", "abide"]);
        command.args(["--root-key", &self.root.verifying_key().to_string()]);
        command.arg("--socket").arg(self.socket());
        command.arg("--run-dir").arg(self.run_dir()).arg("--state-dir").arg(path("state"));
        self.child = command.spawn().unwrap();
        eventually("it listens", || UnixStream::connect(self.socket()).is_ok());
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn socket(&self) -> PathBuf {
        self.desk.path().join("launch.sock")
    }

    fn run_dir(&self) -> PathBuf {
        self.desk.path().join("run")
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    fn spec(&self, user: &str) -> KeeperSpec {
        let mut spec = self.desk.spec(&["sh", "-c", "setsid sleep 1000 & exec sleep 1000"]);
        spec.folder = self.run_dir().join(&spec.session).display().to_string();
        spec.user = user.into();
        spec.identity = Some(Identity::LoginUser(LoginUser {
            pam_service: "of-the-agents-choice".into(),
            agent_gid: 0,
        }));
        spec.display_server.as_mut().unwrap().program = "/of/the/agents/choice".into();
        spec
    }

    fn order(&self, spec: &KeeperSpec, by: &SigningKey) -> String {
        let order = StartOrder {
            session: id(&spec.session),
            user: id(&spec.user),
            agent: agent(),
            profile: id("desktop"),
            pool: None,
            view_key: id(&"f".repeat(32)),
            idempotency_key: id("k"),
            created_at: Timestamp(1_000_000),
        };
        by.sign(cluster(), &order)
    }

    fn ask(&self, spec: KeeperSpec, start_order: String) -> Result<KeeperStatus, String> {
        let certificate = KeyCertificate {
            broker: id::<BrokerId>(&"b".repeat(32)),
            public_key: self.broker.verifying_key(),
            not_before: Timestamp(0),
        };
        let request = Request::Launch(LaunchRequest {
            start_order,
            spec: Some(spec),
            key_certificates: vec![self.root.sign(cluster(), &certificate)],
        });
        let mut stream = self.connect();
        // Whoever is sent away may find the connection closed before all is said.
        let said = frame::write(&mut stream, &LauncherRequest { request: Some(request) });
        said.map_err(|_| "sent away".to_owned())?;
        let reply: KeeperReply = frame::read(&mut stream).map_err(|_| "sent away".to_owned())?;
        match reply.reply.unwrap() {
            Reply::Started(status) => Ok(status),
            Reply::Failed(failed) => Err(format!("{}: {}", failed.stage, failed.detail)),
        }
    }

    fn start(&self, spec: &KeeperSpec) -> Result<KeeperStatus, String> {
        self.ask(spec.clone(), self.order(spec, &self.broker))
    }

    fn clean_up(&self, session: &str) -> String {
        let request = Request::CleanUp(CleanUpRequest { session: session.into() });
        let mut stream = self.connect();
        frame::write(&mut stream, &LauncherRequest { request: Some(request) }).unwrap();
        frame::read::<CleanUpReply>(&mut stream).unwrap().remains
    }
}

#[test]
fn an_ordered_session_starts_as_its_user_with_roots_settings() {
    let mut launcher = launcher(0);
    let spec = launcher.spec("alice");
    let status = launcher.start(&spec).unwrap();
    assert!(lets_in(&status.rfb_socket, &status.full_password));
    let command = fs::read_to_string(format!("/proc/{}/cmdline", status.display_server_pid));
    assert!(command.unwrap().starts_with("/usr/bin/Xvnc"));

    // The keeper outlives the launcher, which finds it again and does not touch it.
    launcher.stop();
    assert_eq!(processes::start_ticks(status.pid), Some(status.start_ticks));
    launcher.run();
    assert_eq!(processes::start_ticks(status.pid), Some(status.start_ticks));
    assert!(lets_in(&status.rfb_socket, &status.full_password));
    assert_eq!(launcher.clean_up(&spec.session), "the session's keeper lives");
}

#[test]
fn what_no_broker_ordered_does_not_start() {
    let launcher = launcher(0);
    let spec = launcher.spec("alice");
    let stranger = launcher.order(&spec, &SigningKey::from_seed(&[9; 32]));
    let for_other = launcher.order(&launcher.spec("alice"), &launcher.broker);
    for (spec, order, expected) in [
        (spec.clone(), String::new(), "the start order is not valid"),
        (spec.clone(), stranger, "is not one of this cluster's"),
        (spec.clone(), for_other, "the start order is for session"),
    ] {
        let refused = launcher.ask(spec, order).unwrap_err();
        assert!(refused.contains(expected), "{refused:?} has no {expected:?}");
    }
    for (user, expected) in [
        ("root", "is the system's (user id 0)"),
        ("system", "is the system's (user id 200)"),
        ("agent", "may not log in"),
        ("nobody-here", "there is no user"),
    ] {
        let refused = launcher.start(&launcher.spec(user)).unwrap_err();
        assert!(refused.contains(expected), "{refused:?} has no {expected:?}");
    }
    assert_eq!(fs::read_dir(launcher.run_dir()).unwrap().count(), 0);
}

#[test]
fn an_order_starts_its_session_once() {
    let mut launcher = launcher(0);
    let spec = launcher.spec("alice");
    let status = launcher.start(&spec).unwrap();
    kill(Pid::from_raw(status.pid as i32), Signal::SIGTERM).unwrap();
    let folder = SessionFolder::new(&spec.folder);
    let over = || matches!(folder.look(), Ok(Found::Gone { ended: Some(_) }));
    eventually("the session is over", over);
    assert_eq!(launcher.clean_up(&spec.session), "");
    assert_eq!(folder.look().unwrap(), Found::Missing);

    launcher.stop();
    launcher.run();
    let refused = launcher.start(&spec).unwrap_err();
    assert!(refused.contains("was used before"), "{refused}");
}

#[test]
fn only_the_agent_may_ask() {
    let launcher = launcher(12345);
    let spec = launcher.spec("alice");
    let refused = launcher.start(&spec).unwrap_err();
    assert_eq!(refused, "sent away");
    assert!(!SessionFolder::new(&spec.folder).path().exists());
}

#[test]
fn after_a_killed_keeper_the_launcher_ends_what_is_left_also_across_its_restart() {
    let mut launcher = launcher(0);
    for restart in [false, true] {
        let spec = launcher.spec("alice");
        let status = launcher.start(&spec).unwrap();
        let marked = || processes::marked(&spec.session);
        // The display server, the command and the one that went off by itself.
        eventually("all three run", || marked().len() == 3);
        if restart {
            launcher.stop();
        }
        kill(Pid::from_raw(status.pid as i32), Signal::SIGKILL).unwrap();
        if restart {
            eventually("the keeper is gone", || processes::start_ticks(status.pid).is_none());
            launcher.run();
        }
        eventually("nothing runs", || marked().is_empty());
        let folder = SessionFolder::new(&spec.folder);
        assert_eq!(
            folder.look().unwrap(),
            Found::Gone { ended: None },
            "the agent can still see it"
        );
        eventually("all is removed", || launcher.clean_up(&spec.session).is_empty());
        assert_eq!(folder.look().unwrap(), Found::Missing);
    }
}
