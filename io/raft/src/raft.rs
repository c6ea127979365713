//! The engine's handle: start, propose, read, stop.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, RwLock, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};
use tracing::info;
use uuid::Uuid;

use crate::election::Ear;
use crate::error::{Fault, ProposeError, ReadError, StartError, StopError};
use crate::ids::{Claim, CommandFence, Members, NodeId, Peer, Position};
use crate::inbound::Inbound;
use crate::leadership::{self, Leadership, Standing, Told};
use crate::life::{Life, Parts, Running};
use crate::lives::Lives;
use crate::machine::Machine;
use crate::me::Me;
use crate::meters::Meters;
use crate::network::Network;
use crate::settings::{Settings, Timing};
use crate::state::{Published, State};
use crate::store::{LogStore, Snapshots, Store};
use crate::transport::Transport;
use crate::types::RaftOf;

/// What a node is started with.
pub struct Start {
    /// The data folder. Made if it does not exist.
    pub folder: PathBuf,
    /// The cluster that the folder belongs to.
    pub cluster: Uuid,
    /// What a node with an empty folder does.
    pub formation: Formation,
    /// See [`Settings`].
    pub settings: Settings,
    /// The way to the others.
    pub transport: Arc<dyn Transport>,
}

/// What a node with an empty data folder does. A folder that is not empty says itself who belongs to
/// the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Formation {
    /// Forms a group of which it is the only voter.
    Alone(Peer),
    /// Waits until a leader takes it in.
    Join,
}

/// How a node fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The forced takeover that this node stands on.
    pub claim: Claim,
    /// Who belongs to the group, as far as this node knows.
    pub members: Members,
    /// Entries ever written to the log.
    pub log: u64,
    /// Entries of them that are applied.
    pub applied: u64,
    /// Leader only: entries that each member's log lacks.
    pub lag: BTreeMap<NodeId, u64>,
    /// Of the current snapshot; 0 if there is none.
    pub snapshot_bytes: u64,
    /// How long ago a leader was last heard: the one before, while this node leads.
    pub leader_heard: Duration,
    /// Which that was; nobody yet since this node's start.
    pub heard_leader: Option<NodeId>,
    /// The end of the log.
    pub last: Option<Position>,
}

/// A running node. Clones are the same node.
pub struct Raft<M: Machine>(Arc<Inner<M>>);

struct Inner<M: Machine> {
    parts: Parts<M>,
    standing: Standing,
    lives: Lives<M>,
    /// Read by every change on its way; written while the lead is being let go of.
    gate: RwLock<()>,
    /// Taken by the first to stop, and by a forced takeover while it lasts.
    running: Mutex<Option<Running>>,
}

impl<M: Machine> Raft<M> {
    /// Opens the data folder, applies what is committed, and takes part in the group.
    ///
    /// Returns before anybody leads: see [`leadership`](Self::leadership).
    ///
    /// # Errors
    /// The folder cannot be used as it is; nothing in it has been changed then.
    pub async fn start(empty: M, start: Start) -> Result<Self, StartError> {
        let (folder, cluster) = (start.folder.clone(), start.cluster);
        let opened = spawn_blocking(move || Store::<M>::open(&folder, cluster));
        let store = opened.await.map_err(|cause| StartError::Engine(cause.to_string()))??;
        Self::start_on(store, empty, start).await
    }

    /// The rest of a start, once the data folder is open.
    pub(crate) async fn start_on(
        store: Store<M>,
        empty: M,
        start: Start,
    ) -> Result<Self, StartError> {
        let Store { identity, log, snapshots, machine } = store;
        let Start { formation, settings, transport, .. } = start;
        let began = Instant::now();
        let state = State::new(empty, machine, snapshots.clone());
        let me = Arc::new(Me::new(identity));
        let yields = Arc::new(AtomicBool::new(false));
        let parts = Parts {
            published: state.0.published(),
            network: Network { me: me.clone(), transport, log: log.clone(), yields },
            ear: Arc::new(Ear::new()),
            me,
            log,
            snapshots,
            settings,
        };
        let told = Told::new(parts.me.node());
        let standing = told.standing();
        let (life, mut running) = parts.begin(state, told).await?;
        info!(node = %parts.me.node(), took = ?began.elapsed(), "Consensus engine started");
        let lives = Lives::new(life);
        if let Formation::Alone(peer) = formation
            && parts.log.is_pristine()
        {
            form(&lives.now(), [(parts.me.node(), peer)].into()).await?;
        }
        parts.decide(&lives.now(), &mut running);
        let running = Mutex::new(Some(running));
        let gate = RwLock::new(());
        Ok(Self(Arc::new(Inner { parts, standing, lives, gate, running })))
    }

    /// Proposes one change and waits until it is applied here.
    ///
    /// While nobody leads it waits, for as long as
    /// [`propose_timeout`](Settings::propose_timeout) in all.
    ///
    /// # Errors
    /// See [`ProposeError`], which says for each case whether the change may still happen.
    pub async fn propose(&self, command: M::Command) -> Result<M::Outcome, ProposeError> {
        let deadline = Instant::now() + self.0.parts.settings.propose_timeout;
        loop {
            let Some(life) = self.0.lives.settled(deadline).await else {
                return Err(ProposeError::NotLeader { leader: None });
            };
            let Ok(through) = timeout_at(deadline, self.0.gate.read()).await else {
                return Err(ProposeError::Busy);
            };
            let result = life.batcher.propose(&command, deadline).await;
            drop(through);
            // What a life that is over has left open the next one repeats: applied twice it changes
            // nothing the second time.
            let is_open = matches!(
                result,
                Err(ProposeError::Stopping
                    | ProposeError::Unknown
                    | ProposeError::NotLeader { .. })
            );
            if !is_open || !self.0.lives.is_over(&life) || Instant::now() >= deadline {
                return result;
            }
        }
    }

    /// The state, with everything in it that was acknowledged before this call, on every node: one that
    /// does not lead asks the leader how much of the log it must have applied.
    ///
    /// # Errors
    /// In [`read_timeout`](Settings::read_timeout) nobody led whom a majority confirmed.
    pub async fn read(&self) -> Result<Arc<M>, ReadError> {
        let deadline = Instant::now() + self.0.parts.settings.read_timeout;
        loop {
            let Some(life) = self.0.lives.settled(deadline).await else {
                return Err(ReadError::NoQuorum);
            };
            let result = life.reader.read(deadline).await;
            let over = result.is_err() && self.0.lives.is_over(&life);
            // Of two voters nobody else can answer: it may be able to itself before long.
            let alone = matches!(result, Err(ReadError::NoQuorum))
                && self.status().members.voters.iter().flatten().count() == 2;
            if !(over || alone) || Instant::now() >= deadline {
                return result;
            }
            if alone {
                tokio::time::sleep(self.timing().heartbeat).await;
            }
        }
    }

    /// The state as this node last applied it. Never waits; may be older than what others see.
    pub fn latest(&self) -> Arc<M> {
        self.0.parts.published.latest()
    }

    /// Tells the next index to apply whenever it has changed; [`latest`](Self::latest) is then at
    /// least as new.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.parts.published.changes()
    }

    /// Who leads, and whether this node may serve.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.0.standing.leadership.clone()
    }

    /// How long ago a majority last acknowledged this leader; `None` if it never did, or does not lead.
    pub fn quorum_age(&self) -> Option<Duration> {
        let leads = self.0.standing.leadership.borrow().may_command();
        let at = *self.0.standing.acknowledged.borrow();
        at.filter(|_| leads).map(|at| at.elapsed())
    }

    /// For how long this node serves without another acknowledgement; zero if it does not serve.
    pub fn serves_for(&self) -> Duration {
        let serving = self.0.standing.leadership.borrow().is_serving();
        let age = self.quorum_age().filter(|_| serving);
        let metrics = self.engine().metrics();
        let patience = leadership::patience(&metrics.borrow(), self.timing());
        age.map_or(Duration::ZERO, |age| patience.saturating_sub(age))
    }

    /// What a command to the outside must carry; `None` if this node may not command.
    pub fn command_fence(&self) -> Option<CommandFence> {
        let now = self.0.standing.leadership.borrow();
        let claim = self.claim();
        now.may_command().then(|| CommandFence { claim, term: now.term, leader: now.me })
    }

    /// Numbers for status pages and metrics, as of the engine's last step.
    pub fn status(&self) -> Status {
        let metrics = self.engine().metrics();
        let now = metrics.borrow();
        let last = now.last_log_index;
        let next = |index: Option<u64>| index.map_or(0, |index| index + 1);
        let lag = now.replication.iter().flatten().map(|(node, matched)| {
            (*node, next(last).saturating_sub(next(matched.as_ref().map(|at| at.index))))
        });
        let (leader_heard, heard_leader) = self.0.parts.ear.last();
        Status {
            claim: self.claim(),
            members: now.membership_config.membership().into(),
            log: next(last),
            applied: next(now.last_applied.map(|at| at.index)),
            lag: lag.collect(),
            snapshot_bytes: self.0.parts.snapshots.size(),
            leader_heard,
            heard_leader,
            last: self.0.parts.log.last(),
        }
    }

    /// What this node has counted since its start.
    pub fn meters(&self) -> &Meters {
        self.0.parts.log.meters()
    }

    /// How fast the group notices and decides, as this node was told.
    pub fn timing(&self) -> Timing {
        self.0.parts.settings.timing
    }

    /// This node's id. A forced takeover changes it.
    pub fn node(&self) -> NodeId {
        self.0.parts.me.node()
    }

    /// The forced takeover that this node stands on.
    pub fn claim(&self) -> Claim {
        self.0.parts.me.claim()
    }

    /// Bytes free on the data folder's file system, half a second old at most.
    pub fn free_space(&self) -> u64 {
        self.0.parts.log.free_space()
    }

    /// Waits until the engine stops by itself, and says why. Waits for ever if it is stopped in order.
    pub async fn failed(&self) -> Fault {
        let mut fault = self.0.standing.fault.clone();
        // The guard of the channel must not live across the wait below.
        let found = fault.wait_for(Option::is_some).await.ok().and_then(|it| it.clone());
        match found {
            Some(fault) => fault,
            None => std::future::pending().await,
        }
    }

    /// The receiving side of the transport.
    pub fn inbound(&self) -> Inbound<'_, M> {
        Inbound(self)
    }

    /// Takes no new changes, commits those that wait, ends the engine, and closes the data folder. A
    /// second call does nothing.
    ///
    /// # Errors
    /// The database could not be closed in order. Nothing acknowledged is lost.
    pub async fn stop(&self) -> Result<(), StopError> {
        self.stop_within(self.0.parts.settings.propose_timeout).await
    }

    /// The same, but changes that wait are given up: no majority will confirm them.
    ///
    /// # Errors
    /// As of [`stop`](Self::stop).
    pub async fn cut(&self) -> Result<(), StopError> {
        self.stop_within(Duration::ZERO).await
    }

    async fn stop_within(&self, patience: Duration) -> Result<(), StopError> {
        let Inner { parts, lives, running, .. } = &*self.0;
        let Some(running) = running.lock().await.take() else {
            return Ok(());
        };
        running.stop(&lives.now(), parts, patience).await;
        parts.snapshots.close();
        let closed = parts.log.close().await;
        info!("Consensus engine stopped");
        Ok(closed?)
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) async fn form(&self, members: BTreeMap<NodeId, Peer>) -> Result<(), StartError> {
        form(&self.0.lives.now(), members).await
    }

    pub(crate) fn engine(&self) -> RaftOf<M> {
        self.0.lives.now().engine.clone()
    }

    /// How much of the log a follower must have applied: asked of the life that is now.
    pub(crate) fn life(&self) -> Arc<Life<M>> {
        self.0.lives.now()
    }

    pub(crate) fn parts(&self) -> &Parts<M> {
        &self.0.parts
    }

    pub(crate) fn gate(&self) -> &RwLock<()> {
        &self.0.gate
    }

    pub(crate) fn lives(&self) -> &Lives<M> {
        &self.0.lives
    }

    pub(crate) async fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.0.running.lock().await
    }

    /// Whether this leader lets go.
    pub(crate) fn yields(&self) -> bool {
        self.0.parts.network.yields.load(Ordering::Relaxed)
    }

    pub(crate) fn ear(&self) -> &Ear {
        &self.0.parts.ear
    }

    pub(crate) fn me(&self) -> &Me {
        &self.0.parts.me
    }

    pub(crate) fn log(&self) -> &LogStore {
        &self.0.parts.log
    }

    pub(crate) fn published(&self) -> &Published<M> {
        &self.0.parts.published
    }

    pub(crate) fn standing(&self) -> &Standing {
        &self.0.standing
    }

    pub(crate) fn snapshots(&self) -> &Snapshots {
        &self.0.parts.snapshots
    }
}

impl<M: Machine> Clone for Raft<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

async fn form<M: Machine>(
    life: &Life<M>,
    members: BTreeMap<NodeId, Peer>,
) -> Result<(), StartError> {
    let formed = life.engine.initialize(members).await;
    formed.map_err(|cause| StartError::Engine(cause.to_string()))
}
