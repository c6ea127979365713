//! One agent and its broker, and whatever they start.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use abide_launch::KeeperLink;
use abide_model::{AgentId, SessionId};
use abide_ticket::{StartOrder, ViewMode};
use abide_wire::agent::{self, answer, command};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::broker::Broker;
use crate::{Display, Earlier, Machine, Profile, RunAs, Settings, Tls};

/// For whatever is waited for. Generous, since the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for something, but not for ever.
pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("{what} did not come"))
}

/// Looks until something is so.
pub(super) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    within(what, search).await
}

fn settings(folder: &Path) -> Settings {
    // Free now; whoever takes it meanwhile makes the test fail, not lie.
    let http = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let profile = |name: &str, command: &[&str]| Profile {
        name: name.parse().unwrap(),
        title: name.to_owned(),
        command: command.iter().map(|&word| word.to_owned()).collect(),
        plain: true,
        environment: BTreeMap::new(),
    };
    Settings {
        name: "desk-1".to_owned(),
        public_url: format!("http://{http}").parse().unwrap(),
        weight: 1,
        max_sessions: None,
        labels: std::collections::BTreeSet::new(),
        identity_dir: folder.join("identity"),
        data_dir: folder.join("data"),
        run_dir: folder.join("run"),
        http,
        tls: Tls::Off,
        run_as: RunAs::AgentUser { keeper: keeper() },
        profiles: vec![
            profile("sleep", &["sleep", "1000"]),
            profile("out", &["true"]),
            profile("missing", &["/nonexistent/program"]),
        ],
        display: Display { program: "/usr/bin/Xvnc".into(), width: 640, height: 480, depth: 24 },
        pass_lifetime: Duration::from_secs(3600),
        least_free: 0,
        end_grace: Duration::from_secs(2),
    }
}

/// A machine that was in no cluster before.
pub(super) fn machine<'a>(name: &'a str, folder: &'a Path) -> Machine<'a> {
    let public_names = vec!["127.0.0.1".to_owned()];
    Machine { name, public_names, folder, earlier: Earlier::Refused }
}

fn keeper() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(2).unwrap().join("abide-keeper")
}

/// The world of one test. What it started ends with it.
pub(super) struct World {
    pub(super) broker: Broker,
    pub(super) me: AgentId,
    pub(super) settings: Settings,
    daemon: Option<Daemon>,
    _folder: tempfile::TempDir,
}

/// A daemon with a runtime of its own, so that it can be killed with all its tasks.
struct Daemon {
    runtime: tokio::runtime::Runtime,
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<Result<(), crate::AgentError>>,
}

impl World {
    /// An agent that has joined and is connected.
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        assert!(keeper().exists(), "first: cargo build -p abide-keeper");
        // Shown when the test fails; one test of many sets it up.
        let _ = tracing_subscriber::fmt().with_test_writer().try_init();
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(folder.path());
        change(&mut settings);
        let broker = Broker::start().await;
        let token = broker.join_token();
        let machine = machine("desk-1", &settings.identity_dir);
        let me = crate::join(broker.address(), &token, machine);
        let me = me.await.unwrap();
        let mut world = Self { broker, me, settings, daemon: None, _folder: folder };
        world.start_daemon().await;
        world
    }

    /// Starts the daemon, and waits until the broker has heard it.
    pub(super) async fn start_daemon(&mut self) {
        self.broker.forget();
        self.start_daemon_unheard();
        self.broker.hello().await;
        self.until_it_answers().await;
    }

    pub(super) fn start_daemon_unheard(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let ((stop, stopped), (end, ended)) = (oneshot::channel(), oneshot::channel());
        let settings = self.settings.clone();
        runtime.spawn(async move {
            let result = crate::run(settings, async {
                // Dropped without a word when it is killed.
                if stopped.await.is_err() {
                    std::future::pending::<()>().await;
                }
            });
            let _ = end.send(result.await);
        });
        self.daemon = Some(Daemon { runtime, stop, ended });
    }

    pub(super) async fn until_it_answers(&self) {
        let url = self.url("/healthz");
        until("an answer", async || reqwest::get(&url).await.ok()?.error_for_status().ok()).await;
    }

    /// Ends the daemon between two instructions, as SIGKILL would.
    pub(super) fn kill_daemon(&mut self) {
        let daemon = self.daemon.take().expect("a daemon runs");
        // The ledger's lock is given back when its thread has seen that everybody is gone.
        let end = move || daemon.runtime.shutdown_timeout(Duration::from_secs(10));
        std::thread::spawn(end).join().unwrap();
        let lock = std::fs::File::open(self.settings.data_dir.join("lock")).unwrap();
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    }

    /// Stops the daemon in order.
    pub(super) async fn stop_daemon(&mut self) {
        let daemon = self.daemon.take().expect("a daemon runs");
        daemon.stop.send(()).unwrap();
        within("the daemon's end", daemon.ended).await.unwrap().unwrap();
        daemon.runtime.shutdown_background();
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.settings.public_url)
    }

    pub(super) fn path(order: &StartOrder) -> String {
        format!("/s/{}/{}", order.session, order.view_key)
    }

    pub(super) fn order(&self, profile: &str) -> StartOrder {
        StartOrder {
            session: SessionId(Uuid::now_v7()),
            user: "ada".parse().unwrap(),
            agent: self.me.clone(),
            profile: profile.parse().unwrap(),
            pool: None,
            view_key: Uuid::new_v4().simple().to_string().parse().unwrap(),
            idempotency_key: "k".parse().unwrap(),
            created_at: self.broker.now(),
        }
    }

    pub(super) async fn command(&self, command: command::Command) -> answer::Answer {
        self.broker.command(fence(1), command).await
    }

    pub(super) async fn obey(&self, command: command::Command) {
        obeyed(self.command(command).await);
    }

    pub(super) fn start_of(&self, order: &StartOrder) -> command::Command {
        command::Command::Start(agent::Start { order: self.broker.sign(order) })
    }

    /// A session that runs.
    pub(super) async fn session(&self) -> StartOrder {
        let order = self.order("sleep");
        self.obey(self.start_of(&order)).await;
        self.broker.running(order.session).await;
        order
    }

    pub(super) async fn end(&self, order: &StartOrder) {
        let end = agent::End { session: order.session.to_string(), by: "ada".to_owned() };
        self.obey(command::Command::End(end)).await;
    }

    pub(super) fn folder(&self, session: SessionId) -> PathBuf {
        self.settings.run_dir.join(session.to_string())
    }

    /// The process id of a session's keeper.
    pub(super) async fn keeper(&self, session: SessionId) -> u32 {
        let (status, _) = KeeperLink::connect(&self.folder(session)).await.unwrap();
        status.pid
    }

    pub(super) async fn until_nothing_is_left(&self, session: SessionId) {
        let folder = self.folder(session);
        until("the end of the folder", async || (!folder.exists()).then_some(())).await;
    }

    /// A ticket as it should be, signed.
    pub(super) fn ticket(&self, order: &StartOrder) -> String {
        self.broker.sign(&self.broker.ticket(order, ViewMode::Control))
    }
}

pub(super) fn fence(term: u64) -> agent::Fence {
    agent::Fence { generation: 1, claimant: 1, term, leader: 1 }
}

pub(super) fn obeyed(answer: answer::Answer) {
    assert!(matches!(answer, answer::Answer::Obeyed(_)), "{answer:?}");
}

pub(super) fn rejected(answer: impl Debug + Into<Option<answer::Answer>>) -> String {
    match answer.into() {
        Some(answer::Answer::Rejected(rejected)) => rejected.detail,
        other => panic!("not rejected: {other:?}"),
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.runtime.shutdown_background();
        }
        let Ok(entries) = std::fs::read_dir(&self.settings.run_dir) else { return };
        for entry in entries.flatten() {
            end_session(&entry.path());
        }
    }
}

/// Has a keeper end its session, and waits for it.
fn end_session(folder: &Path) {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    let Ok(mut control) = UnixStream::connect(folder.join("control.sock")) else { return };
    let Ok(greeting) = abide_wire::frame::read::<abide_wire::keeper::ControlEvent>(&mut control)
    else {
        return;
    };
    if let Some(abide_wire::keeper::control_event::Event::Status(status)) = greeting.event
        && let Some(pid) = rustix::process::Pid::from_raw(status.pid as i32)
    {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        // It closes when nothing is left.
        let _ = control.set_read_timeout(Some(DEADLINE));
        let _ = control.read_to_end(&mut Vec::new());
    }
}
