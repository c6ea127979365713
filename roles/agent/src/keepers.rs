//! One task for each session's keeper: starts it or finds it, listens to it, and has it end.
//!
//! Tells the owner what came of it as [`News`]. Ending these tasks ends no keeper.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use abide_launch::{Found, KeeperEvent, KeeperLink, Launcher, LinkError, StartError, inspect};
use abide_model::SessionId;
use abide_policy::DesktopSize;
use abide_session::Order;
use abide_wire::keeper::{
    AgentUser, DisplayServer, KeeperSpec, KeeperStatus, LoginUser, SessionEnded,
    keeper_spec::Identity,
};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::cluster::Cluster;
use crate::policy::Policy;
use crate::profiles::{Offered, offered};
use crate::settings::{RunAs, Settings};

/// Keepers that are started at once; more would only make each of them slower. The rest queue.
const LAUNCHES: usize = 8;
/// How often to look for a keeper that should be there.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long a keeper may stay unseen that an earlier daemon was starting when it died.
const STARTING_PATIENCE: Duration = Duration::from_secs(3);
/// The longest wait between two tries to clean up.
const CLEAN_UP_PAUSE: Duration = Duration::from_secs(30);

/// What came of a keeper.
#[derive(Debug)]
pub(crate) enum News {
    /// It is there.
    Started(KeeperStatus),
    /// None came of the attempt.
    Failed(String),
    /// It recorded the session's end.
    Ended(SessionEnded),
    /// It is gone, and its lock is free.
    Gone,
}

/// Set to who wants the session ended, once somebody does.
pub(crate) type WantEnd = watch::Receiver<Option<Arc<str>>>;

/// How sure it is that there is a keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// The ledger says that it ran.
    Running,
    /// The ledger says that it was being started.
    Starting,
}

/// The tasks. Dropping this ends them all.
pub(crate) struct Keepers {
    context: Arc<Context>,
    tasks: JoinSet<()>,
}

struct Context {
    launcher: Launcher,
    settings: Arc<Settings>,
    cluster: Cluster,
    policy: Policy,
    places: Semaphore,
    news: mpsc::Sender<(SessionId, News)>,
}

impl Keepers {
    pub(crate) fn new(
        settings: Arc<Settings>,
        cluster: Cluster,
        policy: Policy,
        news: mpsc::Sender<(SessionId, News)>,
    ) -> Self {
        let launcher = match &settings.run_as {
            RunAs::LoginUser { launcher, .. } => Launcher::Socket { path: launcher.clone() },
            RunAs::AgentUser { keeper } => Launcher::Direct { keeper: keeper.clone() },
        };
        let places = Semaphore::new(LAUNCHES);
        let context = Context { launcher, settings, cluster, policy, places, news };
        Self { context: Arc::new(context), tasks: JoinSet::new() }
    }

    /// Starts a keeper, when it is its turn, and stays with it.
    pub(crate) fn launch(&mut self, session: SessionId, order: Order, want_end: WantEnd) {
        let watcher = self.watcher(session, want_end);
        self.spawn(watcher.launch(order));
    }

    /// Looks for a keeper that an earlier daemon started, and stays with it.
    pub(crate) fn adopt(&mut self, session: SessionId, expect: Expect, want_end: WantEnd) {
        let watcher = self.watcher(session, want_end);
        let patience = match expect {
            Expect::Running => Duration::ZERO,
            Expect::Starting => STARTING_PATIENCE,
        };
        self.spawn(async move { watcher.stay(patience).await });
    }

    /// Removes what is left of a session, trying until nothing is.
    pub(crate) fn clean_up(&mut self, session: SessionId) {
        let context = Arc::clone(&self.context);
        self.spawn(async move {
            let folder = context.folder(session);
            let mut pause = LOOK_AGAIN;
            while let Err(cause) = context.launcher.clean_up(&folder, session).await {
                if pause > Duration::from_secs(1) {
                    let cause = chain(&cause);
                    warn!(%session, cause, "Something is left of a session; trying again");
                }
                sleep(pause).await;
                pause = (pause * 2).min(CLEAN_UP_PAUSE);
            }
        });
    }

    fn watcher(&self, session: SessionId, want_end: WantEnd) -> Watcher {
        let context = Arc::clone(&self.context);
        Watcher { folder: context.folder(session), context, session, want_end }
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        // Only the living are kept.
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(task);
    }
}

impl Context {
    fn folder(&self, session: SessionId) -> PathBuf {
        self.settings.run_dir.join(session.to_string())
    }

    fn spec(&self, session: SessionId, order: &Order) -> Option<KeeperSpec> {
        let settings = &self.settings;
        let mut offered = offered(settings, &self.policy.now()).into_iter();
        let Offered { profile, size } = offered.find(|it| it.profile.name == order.profile)?;
        let DesktopSize { width, height } = size.unwrap_or(DesktopSize {
            width: settings.display.width,
            height: settings.display.height,
        });
        let user = order.user.as_str();
        let text = |path: PathBuf| path.display().to_string();
        let identity = match &settings.run_as {
            RunAs::LoginUser { .. } => Identity::LoginUser(LoginUser {
                // The launcher puts root's setting there.
                pam_service: String::new(),
                agent_gid: rustix::process::getegid().as_raw(),
            }),
            RunAs::AgentUser { .. } => Identity::AgentUser(AgentUser {
                home: text(settings.data_dir.join("homes").join(user)),
                runtime_dir: text(settings.run_dir.join("users").join(user)),
            }),
        };
        Some(KeeperSpec {
            session: session.to_string(),
            user: user.to_owned(),
            folder: text(self.folder(session)),
            identity: Some(identity),
            command: profile.command,
            display_server: Some(DisplayServer {
                program: text(settings.display.program.clone()),
                width,
                height,
                depth: settings.display.depth,
            }),
            environment: profile.environment.into_iter().collect(),
            plain: profile.plain,
            grace_ms: u32::try_from(settings.end_grace.as_millis()).unwrap_or(u32::MAX),
        })
    }
}

/// One session's task.
struct Watcher {
    context: Arc<Context>,
    session: SessionId,
    folder: PathBuf,
    want_end: WantEnd,
}

impl Watcher {
    async fn launch(self, order: Order) {
        match self.start(&order).await {
            Ok(status) => {
                self.tell(News::Started(status)).await;
                self.stay(Duration::ZERO).await;
            }
            Err(detail) => self.tell(News::Failed(detail)).await,
        }
    }

    async fn start(&self, order: &Order) -> Result<KeeperStatus, String> {
        let place = self.context.places.acquire().await;
        let _place = place.map_err(|_| "the agent stops".to_owned())?;
        if self.want_end.borrow().is_some() {
            return Err("it was ended before it was started".to_owned());
        }
        let spec = self.context.spec(self.session, order);
        let spec = spec.ok_or_else(|| format!("this agent has no profile {}", order.profile))?;
        let certificates = &self.context.cluster.view().certificates;
        let started = self.context.launcher.start(&order.text, certificates, spec).await;
        match started {
            Ok(status) => Ok(status),
            // It may be there all the same.
            Err(cause @ (StartError::Lost(_) | StartError::Slow)) => {
                match KeeperLink::connect(&self.folder).await {
                    Ok((status, _)) => Ok(status),
                    Err(_) => Err(chain(&cause)),
                }
            }
            Err(cause) => Err(chain(&cause)),
        }
    }

    /// Stays with the keeper until it is over; `patience` is how long it may not be there at first.
    async fn stay(mut self, patience: Duration) {
        let begun = Instant::now();
        loop {
            match KeeperLink::connect(&self.folder).await {
                Ok((status, mut link)) => {
                    self.tell(News::Started(status)).await;
                    if let KeeperEvent::Ended(ended) = self.listen(&mut link).await {
                        return self.tell(News::Ended(ended)).await;
                    }
                }
                Err(LinkError::NoKeeper(Some(ended))) => {
                    return self.tell(News::Ended(ended)).await;
                }
                Err(LinkError::NoKeeper(None)) if begun.elapsed() >= patience => {
                    return self.tell(News::Gone).await;
                }
                Err(LinkError::NoKeeper(None)) => sleep(LOOK_AGAIN).await,
                Err(cause) => {
                    let cause = chain(&cause);
                    warn!(session = %self.session, cause, "Keeper cannot be reached; trying again");
                    sleep(LOOK_AGAIN * 10).await;
                }
            }
        }
    }

    async fn listen(&mut self, link: &mut KeeperLink) -> KeeperEvent {
        // Also what was wanted before the keeper could be reached.
        self.want_end.mark_changed();
        let mut open = true;
        loop {
            tokio::select! {
                event = link.next() => return event,
                changed = self.want_end.changed(), if open => {
                    open = changed.is_ok();
                    let by = self.want_end.borrow_and_update().clone();
                    // If it cannot be told it is gone, which the next event says.
                    if let Some(by) = by {
                        let _ = link.end(&by).await;
                    }
                }
            }
        }
    }

    async fn tell(&self, news: News) {
        // The owner ends after these tasks, or together with them.
        let _ = self.context.news.send((self.session, news)).await;
    }
}

/// The sessions' folders that have a living keeper, and those that have not.
pub(crate) fn found_in(settings: &Settings) -> Vec<(SessionId, bool)> {
    let Ok(entries) = std::fs::read_dir(&settings.run_dir) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let Some(session) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        match inspect(&entry.path()) {
            Ok(look) => found.push((session, look == Found::Alive)),
            Err(cause) => info!(%session, %cause, "A session's folder cannot be read"),
        }
    }
    found
}

/// An error and its causes in one line, for a person.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
