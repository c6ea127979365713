//! The one task that owns the sessions, the fence, the tickets and the passes.
//!
//! It takes what waits for it together, steps through it, makes what changed durable in one go, and
//! only then answers, reports and acts: so nothing is said that a crash could take back.
//!
//! ```text
//! requests ─▶ step … step ─▶ ledger.write ─▶ answers, reports, keepers, viewers
//!                                  └─ disk full: all of it waits, and what is new is refused
//! ```

mod doors;
mod effects;
mod handle;
mod limits;
mod log_outs;
mod orders;
mod turn;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use abide_ledger::{Contents, Ledger, Pass, Write, WriteError};
use abide_model::{AgentId, BootId, EndReason, SessionId, Timestamp, ViewKey};
use abide_rfb::VncPassword;
use abide_session::{
    CloseReason, Event, Evidence, FenceGate, KeeperMark, PassHash, Phase, Row, Session, ViewerId,
    Viewers,
};
use abide_ticket::TokenId;
use abide_wire::agent::LedgerRow;
use abide_wire::keeper::{KeeperStatus, SessionEnded, session_ended::Cause};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::{info, warn};

pub(crate) use doors::{Attachment, Denied, Door, Redeem};
use handle::Request;
pub(crate) use handle::{Counts, Greeting, Handle, Promise, Verdict};
pub(crate) use limits::{LastInput, Warning};
use log_outs::LogOuts;
use turn::Turn;

use crate::clock;
use crate::cluster::Cluster;
use crate::keepers::{Expect, Keepers, News, found_in};
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::settings::Settings;

/// Requests that wait; more wait to be let in.
const REQUESTS: usize = 256;
/// Requests that share one write to the ledger.
const TOGETHER: usize = 64;
/// How often a write is tried again while the disk is full.
const RETRY: Duration = Duration::from_secs(1);
/// How often passes in use are noted, and what expired is forgotten.
const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// How long viewers may take to hear that the daemon stops.
const FAREWELL: Duration = Duration::from_secs(2);
/// Forgotten sessions of which a viewer that comes late can still be told how they ended.
const DEPARTED: usize = 256;

/// What the owner is made of.
pub(crate) struct Parts {
    pub(crate) me: AgentId,
    pub(crate) boot: BootId,
    pub(crate) settings: Arc<Settings>,
    pub(crate) cluster: Cluster,
    pub(crate) policy: Policy,
    pub(crate) ledger: Ledger,
    pub(crate) metrics: Arc<Metrics>,
}

pub(crate) struct Owner {
    parts: Parts,
    gate: FenceGate,
    desks: HashMap<SessionId, Desk>,
    departed: VecDeque<Departed>,
    passes: HashMap<PassHash, Pass>,
    tickets: HashMap<TokenId, Timestamp>,
    log_outs: LogOuts,
    keepers: Keepers,
    brokers: Vec<mpsc::Sender<LedgerRow>>,
    counts: watch::Sender<Counts>,
    next_viewer: u64,
    turn: Turn,
    /// The disk is full, and what is in the turn could not be written.
    stuck: bool,
    requests: mpsc::Receiver<Request>,
    news: mpsc::Receiver<(SessionId, News)>,
    departures: mpsc::UnboundedReceiver<(SessionId, ViewerId)>,
    /// Kept for the attachments, which send when they are dropped.
    leave: mpsc::UnboundedSender<(SessionId, ViewerId)>,
}

/// A session, and what is only known while the daemon runs.
struct Desk {
    session: Session,
    /// What is durable of it.
    saved: Option<Row>,
    viewers: Viewers,
    connections: HashMap<ViewerId, Connection>,
    /// Where its picture is, once its keeper was reached.
    screen: Option<Screen>,
    want_end: watch::Sender<Option<Arc<str>>>,
    watched: limits::Watched,
}

struct Connection {
    pass: PassHash,
    close: oneshot::Sender<CloseReason>,
}

/// The way to a session's display server.
#[derive(Debug, Clone)]
pub(crate) struct Screen {
    pub(crate) socket: PathBuf,
    pub(crate) full: VncPassword,
    pub(crate) view: VncPassword,
}

/// A session that a broker told us to forget.
struct Departed {
    session: SessionId,
    view_key: ViewKey,
    passes: HashSet<PassHash>,
    reason: EndReason,
}

impl Desk {
    fn new(session: Session) -> Self {
        Self {
            session,
            saved: None,
            viewers: Viewers::default(),
            connections: HashMap::new(),
            screen: None,
            want_end: watch::Sender::new(None),
            watched: limits::Watched::new(),
        }
    }
}

impl Owner {
    /// An owner of what the ledger holds.
    pub(crate) fn new(parts: Parts, contents: Contents) -> (Self, Handle) {
        let (sender, requests) = mpsc::channel(REQUESTS);
        let (tell, news) = mpsc::channel(REQUESTS);
        // Unbounded, since it is sent to on drop; bounded by the number of viewers all the same.
        let (leave, departures) = mpsc::unbounded_channel();
        let Parts { settings, cluster, policy, .. } = &parts;
        let keepers = Keepers::new(Arc::clone(settings), cluster.clone(), policy.clone(), tell);
        let counts = watch::Sender::new(Counts::default());
        let handle = Handle::new(sender, counts.subscribe());
        let desks = contents.sessions.into_iter().map(|row| {
            let desk =
                Desk { saved: Some(row.clone()), ..Desk::new(Session::restored(row.clone())) };
            (row.session, desk)
        });
        let owner = Self {
            parts,
            gate: FenceGate::at(contents.fence),
            desks: desks.collect(),
            departed: VecDeque::new(),
            passes: contents.passes.into_iter().map(|pass| (pass.hash, pass)).collect(),
            tickets: contents.tickets.into_iter().map(|it| (it.jti, it.forget_at)).collect(),
            log_outs: LogOuts::restored(contents.log_outs, Instant::now()),
            keepers,
            brokers: Vec::new(),
            counts,
            next_viewer: 0,
            turn: Turn::default(),
            stuck: false,
            requests,
            news,
            departures,
            leave,
        };
        (owner, handle)
    }

    /// Serves until told to stop.
    ///
    /// # Errors
    /// When the ledger fails; the sessions live on.
    pub(crate) async fn run(mut self) -> Result<(), WriteError> {
        self.adopt();
        self.settle().await?;
        let mut retry = interval(RETRY);
        let mut housekeeping = interval(HOUSEKEEPING);
        let mut limits = interval(limits::LOOK_EVERY);
        for timer in [&mut retry, &mut housekeeping, &mut limits] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let (mut batch, mut news) = (Vec::new(), Vec::new());
        loop {
            tokio::select! {
                count = self.requests.recv_many(&mut batch, TOGETHER) => {
                    if count == 0 {
                        return Ok(());
                    }
                    for request in batch.drain(..) {
                        match request {
                            Request::Stop(done) => return self.stop(done).await,
                            other => self.take(other),
                        }
                    }
                }
                _ = self.news.recv_many(&mut news, TOGETHER) => {
                    for (session, news) in news.drain(..) {
                        self.hear(session, news);
                    }
                }
                Some((session, viewer)) = self.departures.recv() => self.viewer_gone(session, viewer),
                _ = retry.tick(), if self.stuck => {}
                _ = housekeeping.tick() => self.housekeeping(),
                _ = limits.tick() => self.judge_limits(),
            }
            self.settle().await?;
        }
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Command(command, reply) => self.command(command, reply),
            Request::Greet(reply) => self.greet(reply),
            Request::Fence(promise, reply) => self.tell_fence(promise, reply),
            Request::Redeem(redeem, reply) => self.redeem(redeem, reply),
            Request::Attach(door, reply) => self.attach(door, reply),
            Request::Show(door, reply) => {
                let _ = reply.send(self.show(&door));
            }
            Request::Warnings(door, reply) => {
                let _ = reply.send(self.warnings(&door));
            }
            Request::Cluster(view) => {
                if self.parts.cluster.told(&view) {
                    self.turn.write(Write::PutCluster(prost::Message::encode_to_vec(&view)));
                }
            }
            Request::Config(config) => {
                if let Some(kept) = self.parts.policy.told(&config) {
                    self.turn.write(Write::PutConfig(kept));
                }
            }
            Request::Clock(offset) => self.turn.write(Write::PutClock(offset)),
            Request::Stop(_) => {}
        }
    }

    /// After a restart: what became of the sessions meanwhile.
    fn adopt(&mut self) {
        let at = clock::now();
        let ids: Vec<_> = self.desks.keys().copied().collect();
        for id in ids {
            let row = self.desks[&id].session.row().clone();
            match row.phase {
                Phase::Starting | Phase::Running | Phase::Ending { .. }
                    if row.boot != self.parts.boot =>
                {
                    let evidence = Evidence::OtherBoot { now: self.parts.boot.clone() };
                    self.note(id, Event::KeeperGone { at, evidence });
                }
                Phase::Starting | Phase::Running | Phase::Ending { .. } => {
                    let known = row.keeper.is_some();
                    let expect = if known { Expect::Running } else { Expect::Starting };
                    let want_end = self.desks[&id].want_end.subscribe();
                    self.keepers.adopt(id, expect, want_end);
                }
                // In case the daemon died while doing so.
                Phase::Ended { .. } => self.keepers.clean_up(id),
                Phase::Cancelled | Phase::New => {}
            }
        }
        for (session, alive) in found_in(&self.parts.settings) {
            match (self.desks.contains_key(&session), alive) {
                (true, _) => {}
                (false, true) => self.adopt_unknown(session),
                (false, false) => self.keepers.clean_up(session),
            }
        }
    }

    /// A keeper that the ledger does not know: its session is reported, so that an administrator
    /// sees it, and handed to nobody. It is never killed.
    fn adopt_unknown(&mut self, id: SessionId) {
        self.parts.metrics.unknown_keepers.inc();
        warn!(session = %id, "A session runs that the ledger does not know");
        let desk = Desk::new(Session::found(id, self.parts.boot.clone()));
        let row = desk.session.row().clone();
        self.keepers.adopt(id, Expect::Running, desk.want_end.subscribe());
        self.desks.insert(id, desk);
        self.turn.write(Write::PutSession(row.clone()));
        self.turn.then(turn::After::Saved(row));
        self.turn.then(turn::After::Report(id));
    }

    fn hear(&mut self, id: SessionId, news: News) {
        let at = clock::now();
        let event = match news {
            News::Started(status) => {
                let mark = KeeperMark { pid: status.pid, start_ticks: status.start_ticks };
                // It may come again for the same keeper.
                let known = self.desks.get_mut(&id).map(|it| it.screen.replace(screen(&status)));
                if matches!(known, Some(None)) {
                    info!(session = %id, keeper = status.pid, display = status.display, "Session runs");
                }
                Event::KeeperStarted(mark)
            }
            News::Failed(detail) => {
                warn!(session = %id, detail, "Session could not be started");
                Event::KeeperFailed { at, detail: detail.into() }
            }
            News::Ended(ended) => {
                let at = if ended.at_ms == 0 { at } else { Timestamp(ended.at_ms) };
                let reason = reason(ended);
                info!(session = %id, %reason, "Session ended");
                Event::KeeperEnded { at, reason }
            }
            News::Gone => {
                warn!(session = %id, "Session's keeper is gone");
                Event::KeeperGone { at, evidence: Evidence::LockFree }
            }
        };
        self.note(id, event);
    }

    /// Closes every viewer, so that its page comes back by itself, and goes.
    async fn stop(mut self, done: oneshot::Sender<()>) -> Result<(), WriteError> {
        let ids: Vec<_> = self.desks.keys().copied().collect();
        for id in ids {
            self.close_viewers(id, CloseReason::Restarting);
        }
        self.note_passes_in_use();
        let settled = self.settle().await;
        let until = Instant::now() + FAREWELL;
        while self.desks.values().any(|desk| desk.viewers.count() > 0) {
            tokio::select! {
                Some((session, viewer)) = self.departures.recv() => self.viewer_gone(session, viewer),
                () = sleep_until(until) => break,
            }
        }
        drop(self.keepers);
        self.parts.ledger.close().await;
        let _ = done.send(());
        settled
    }
}

fn screen(status: &KeeperStatus) -> Screen {
    Screen {
        socket: PathBuf::from(&status.rfb_socket),
        full: VncPassword::new(&status.full_password),
        view: VncPassword::new(&status.view_password),
    }
}

fn reason(ended: SessionEnded) -> EndReason {
    let cause = ended.cause();
    let detail: Arc<str> = ended.detail.into();
    match cause {
        Cause::CommandExited => EndReason::LoggedOut,
        Cause::DisplayServerExited => EndReason::Crashed { detail },
        Cause::Asked => EndReason::Asked { by: detail },
        Cause::Signalled => EndReason::HostShutDown,
        Cause::Unspecified => EndReason::Crashed { detail },
    }
}
