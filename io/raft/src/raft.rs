//! The engine's handle: start, propose, read, stop.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::Instant;
use tracing::{info, warn};
use uuid::Uuid;

use crate::batcher::Batcher;
use crate::election::{Ear, Elections};
use crate::error::{ClaimError, Fault, ProposeError, ReadError, StartError, StopError};
use crate::housekeeping::Housekeeping;
use crate::ids::{Claim, CommandFence, Members, NodeId, Peer};
use crate::inbound::Inbound;
use crate::leadership::{self, Leadership, Standing};
use crate::machine::Machine;
use crate::me::Me;
use crate::meters::Meters;
use crate::network::Network;
use crate::read::Reader;
use crate::settings::{Settings, Timing};
use crate::state::{Published, State};
use crate::store::{Identity, LogStore, Snapshots, Store};
use crate::transport::Transport;
use crate::types::RaftOf;

/// How long a whole snapshot may take to be sent and taken over.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(60);

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
}

/// A running node. Clones are the same node.
pub struct Raft<M: Machine>(Arc<Inner<M>>);

struct Inner<M: Machine> {
    me: Arc<Me>,
    engine: RaftOf<M>,
    log: LogStore,
    snapshots: Snapshots,
    published: Arc<Published<M>>,
    standing: Standing,
    batcher: Batcher<M>,
    reader: Reader<M>,
    ear: Arc<Ear>,
    settings: Settings,
    stop: watch::Sender<bool>,
    /// Taken by the first to stop.
    running: Mutex<Option<Running>>,
}

/// What ends with the node, also when its last handle is dropped without a stop.
struct Running {
    writing: JoinHandle<()>,
    deciding: JoinSet<()>,
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
        let published = state.published();
        let me = Arc::new(Me::new(identity));
        let network = Network { me: me.clone(), transport, log: log.clone() };
        let config = config(settings.timing).map_err(StartError::Engine)?;
        let engine =
            RaftOf::<M>::new(me.node, Arc::new(config), network.clone(), log.clone(), state)
                .await
                .map_err(|cause| StartError::Engine(cause.to_string()))?;
        let standing = leadership::watch(me.node, &engine, &published, &log, settings.timing);
        info!(node = %me.node, took = ?began.elapsed(), "Consensus engine started");

        let stop = watch::Sender::new(false);
        let (batcher, writing) = Batcher::start(
            engine.clone(),
            log.clone(),
            standing.clone(),
            &settings,
            stop.subscribe(),
        );
        let reader = Reader::start(
            engine.clone(),
            network.clone(),
            published.clone(),
            standing.clone(),
            &settings,
        );
        let ear = Arc::new(Ear::new());
        let deciding = JoinSet::new();
        let running = Mutex::new(Some(Running { writing, deciding }));
        let this = Self(Arc::new(Inner {
            me,
            engine,
            log,
            snapshots,
            published,
            standing,
            batcher,
            reader,
            ear,
            settings,
            stop,
            running,
        }));
        if let Formation::Alone(peer) = formation
            && this.0.log.is_pristine()
        {
            this.form([(this.0.me.node, peer)].into()).await?;
        }
        this.spawn_tasks(network).await;
        Ok(this)
    }

    /// Proposes one change and waits until it is applied here.
    ///
    /// While nobody leads it waits, for as long as
    /// [`propose_timeout`](Settings::propose_timeout) in all.
    ///
    /// # Errors
    /// See [`ProposeError`], which says for each case whether the change may still happen.
    pub async fn propose(&self, command: M::Command) -> Result<M::Outcome, ProposeError> {
        self.0.batcher.propose(&command).await
    }

    /// The state, with everything in it that was acknowledged before this call, on every node: one that
    /// does not lead asks the leader how much of the log it must have applied.
    ///
    /// # Errors
    /// In [`read_timeout`](Settings::read_timeout) nobody led whom a majority confirmed.
    pub async fn read(&self) -> Result<Arc<M>, ReadError> {
        self.0.reader.read().await
    }

    /// The state as this node last applied it. Never waits; may be older than what others see.
    pub fn latest(&self) -> Arc<M> {
        self.0.published.latest()
    }

    /// Tells the next index to apply whenever it has changed; [`latest`](Self::latest) is then at
    /// least as new.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.published.changes()
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
        let metrics = self.0.engine.metrics();
        let patience = leadership::patience(&metrics.borrow(), self.0.settings.timing);
        age.map_or(Duration::ZERO, |age| patience.saturating_sub(age))
    }

    /// What a command to the outside must carry; `None` if this node may not command.
    pub fn command_fence(&self) -> Option<CommandFence> {
        let now = self.0.standing.leadership.borrow();
        now.may_command().then(|| CommandFence {
            claim: self.0.me.claim(),
            term: now.term,
            leader: self.0.me.node,
        })
    }

    /// Numbers for status pages and metrics, as of the engine's last step.
    pub fn status(&self) -> Status {
        let metrics = self.0.engine.metrics();
        let now = metrics.borrow();
        let last = now.last_log_index;
        let next = |index: Option<u64>| index.map_or(0, |index| index + 1);
        let lag = now.replication.iter().flatten().map(|(node, matched)| {
            (*node, next(last).saturating_sub(next(matched.as_ref().map(|at| at.index))))
        });
        let (leader_heard, heard_leader) = self.0.ear.last();
        Status {
            claim: self.0.me.claim(),
            members: now.membership_config.membership().into(),
            log: next(last),
            applied: next(now.last_applied.map(|at| at.index)),
            lag: lag.collect(),
            snapshot_bytes: self.0.snapshots.size(),
            leader_heard,
            heard_leader,
        }
    }

    /// What this node has counted since its start.
    pub fn meters(&self) -> &Meters {
        self.0.log.meters()
    }

    /// How fast the group notices and decides, as this node was told.
    pub fn timing(&self) -> Timing {
        self.0.settings.timing
    }

    /// This node's id.
    pub fn node(&self) -> NodeId {
        self.0.me.node
    }

    /// The forced takeover that this node stands on.
    pub fn claim(&self) -> Claim {
        self.0.me.claim()
    }

    /// Bytes free on the data folder's file system, half a second old at most.
    pub fn free_space(&self) -> u64 {
        self.0.log.free_space()
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

    /// Puts this node's fences above `seen`, for a lone voter that finds the agents obeying a fence that
    /// its own lost data knew of. Durable when it returns.
    ///
    /// # Errors
    /// There are other voters, or the disk refuses.
    pub async fn raise_claim(&self, seen: Claim) -> Result<Claim, ClaimError> {
        let metrics = self.0.engine.metrics();
        let alone = metrics.borrow().membership_config.voter_ids().eq([self.0.me.node]);
        if !alone {
            return Err(ClaimError::NotAlone);
        }
        let current = self.0.me.claim();
        if current > seen {
            return Ok(current);
        }
        let raised = Claim { generation: seen.generation + 1, claimant: self.0.me.node };
        let Me { cluster, node, .. } = *self.0.me;
        self.0.log.set_identity(Identity { cluster, node, claim: raised }).await?;
        self.0.me.set_claim(raised);
        warn!(generation = raised.generation, "Claim raised above what the agents had seen");
        Ok(raised)
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
        let Inner { stop, running, log, snapshots, published, engine, settings, .. } = &*self.0;
        let Some(Running { writing, mut deciding }) = running.lock().await.take() else {
            return Ok(());
        };
        stop.send_replace(true);
        if tokio::time::timeout(settings.propose_timeout, writing).await.is_err() {
            warn!("Some changes could not be committed before the stop");
        }
        published.closing.store(true, Ordering::Relaxed);
        log.stop_waiting();
        if let Err(cause) = engine.shutdown().await {
            warn!(%cause, "The consensus engine did not end in order");
        }
        deciding.shutdown().await;
        snapshots.close();
        let closed = log.close().await;
        info!("Consensus engine stopped");
        Ok(closed?)
    }

    pub(crate) async fn form(&self, members: BTreeMap<NodeId, Peer>) -> Result<(), StartError> {
        let formed = self.0.engine.initialize(members).await;
        formed.map_err(|cause| StartError::Engine(cause.to_string()))
    }

    async fn spawn_tasks(&self, network: Network) {
        let Inner { engine, log, snapshots, published, standing, ear, settings, .. } = &*self.0;
        let elections = Elections {
            raft: engine.clone(),
            log: log.clone(),
            network,
            ear: ear.clone(),
            standing: standing.clone(),
            timing: settings.timing,
        };
        let housekeeping = Housekeeping {
            raft: engine.clone(),
            log: log.clone(),
            published: published.clone(),
            snapshots: snapshots.clone(),
            every: settings.snapshot_every,
            reserve: settings.reserve,
        };
        if let Some(running) = &mut *self.0.running.lock().await {
            running.deciding.spawn(elections.run());
            running.deciding.spawn(housekeeping.run());
        }
    }

    pub(crate) fn engine(&self) -> &RaftOf<M> {
        &self.0.engine
    }

    pub(crate) fn reader(&self) -> &Reader<M> {
        &self.0.reader
    }

    pub(crate) fn ear(&self) -> &Ear {
        &self.0.ear
    }

    pub(crate) fn me(&self) -> &Me {
        &self.0.me
    }

    pub(crate) fn log(&self) -> &LogStore {
        &self.0.log
    }

    pub(crate) fn published(&self) -> &Published<M> {
        &self.0.published
    }

    pub(crate) fn standing(&self) -> &Standing {
        &self.0.standing
    }

    pub(crate) fn snapshots(&self) -> &Snapshots {
        &self.0.snapshots
    }
}

impl<M: Machine> Clone for Raft<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// openraft with its own decisions on when to stand and when to write a snapshot turned off.
fn config(timing: Timing) -> Result<Config, String> {
    let lease = timing.lease.as_millis() as u64;
    let config = Config {
        cluster_name: "abide".into(),
        heartbeat_interval: timing.heartbeat.as_millis() as u64,
        // The upper bound is what openraft takes as the leader's lease.
        election_timeout_min: lease.saturating_sub(1),
        election_timeout_max: lease,
        enable_elect: false,
        install_snapshot_timeout: SNAPSHOT_TIMEOUT.as_millis() as u64,
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        ..Config::default()
    };
    config.validate().map_err(|cause| cause.to_string())
}
