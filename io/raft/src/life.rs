//! One life of a node: openraft and the tasks around it, from a start or a forced takeover to the next.
//!
//! ```text
//! begin ─▶ runs ─▶ stop        takes no new changes, commits those that wait
//!              ├─▶ cut         the same without waiting
//!              └─▶ give way    ─▶ a forced takeover ─▶ begin
//! ```
//! The log, the state and what is told of them outlive it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tracing::warn;

use crate::batcher::Batcher;
use crate::election::{Ear, Elections};
use crate::error::StartError;
use crate::housekeeping::Housekeeping;
use crate::leadership::{self, Told};
use crate::machine::Machine;
use crate::me::Me;
use crate::network::Network;
use crate::read::Reader;
use crate::settings::{Settings, Timing};
use crate::state::{Published, State, StateEnd};
use crate::store::{LogStore, Snapshots};
use crate::types::RaftOf;

/// How long a whole snapshot may take to be sent and taken over.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long what openraft has still to apply may take when it gives way.
const APPLY_WITHIN: Duration = Duration::from_secs(5);

/// What outlives a life.
pub(crate) struct Parts<M> {
    pub(crate) me: Arc<Me>,
    pub(crate) log: LogStore,
    pub(crate) snapshots: Snapshots,
    pub(crate) published: Arc<Published<M>>,
    pub(crate) network: Network,
    pub(crate) ear: Arc<Ear>,
    pub(crate) settings: Settings,
}

/// What is asked of a life.
pub(crate) struct Life<M: Machine> {
    pub(crate) engine: RaftOf<M>,
    pub(crate) batcher: Batcher<M>,
    pub(crate) reader: Reader<M>,
}

/// What ends with it, also when its last handle is dropped without a stop.
pub(crate) struct Running {
    pub(crate) told: Told,
    stop: watch::Sender<bool>,
    writing: JoinHandle<()>,
    watching: JoinHandle<()>,
    deciding: JoinSet<()>,
    state: StateEnd,
}

impl<M: Machine> Parts<M> {
    /// Starts a life on this state.
    pub(crate) async fn begin(
        &self,
        (state, ended): (State<M>, StateEnd),
        told: Told,
    ) -> Result<(Life<M>, Running), StartError> {
        let Self { me, log, published, network, ear, settings, .. } = self;
        let config = config(settings.timing).map_err(StartError::Engine)?;
        let (config, network) = (Arc::new(config), network.clone());
        let engine = RaftOf::<M>::new(me.node(), config, network.clone(), log.clone(), state).await;
        let engine = engine.map_err(|cause| StartError::Engine(cause.to_string()))?;
        let (log, timing) = (log.clone(), settings.timing);
        let watching =
            leadership::watch(told.clone(), &engine, published, (log, ear.clone()), timing);
        let standing = told.standing();
        let stop = watch::Sender::new(false);
        let (batcher, writing) = Batcher::start(
            engine.clone(),
            (self.log.clone(), published.clone()),
            standing.clone(),
            settings,
            stop.subscribe(),
        );
        let reader = Reader::start(engine.clone(), network, published.clone(), standing, settings);
        let deciding = JoinSet::new();
        let running = Running { told, stop, writing, watching, deciding, state: ended };
        Ok((Life { engine, batcher, reader }, running))
    }

    /// Starts the tasks that decide something.
    pub(crate) fn decide(&self, life: &Life<M>, running: &mut Running) {
        let Self { log, snapshots, published, network, ear, settings, .. } = self;
        let elections = Elections {
            raft: life.engine.clone(),
            log: log.clone(),
            network: network.clone(),
            ear: ear.clone(),
            standing: running.told.standing(),
            timing: settings.timing,
        };
        let housekeeping = Housekeeping {
            raft: life.engine.clone(),
            log: log.clone(),
            published: published.clone(),
            snapshots: snapshots.clone(),
            every: settings.snapshot_every,
            reserve: settings.reserve,
        };
        running.deciding.spawn(elections.run());
        running.deciding.spawn(housekeeping.run());
    }
}

impl Running {
    /// Ends it for good; changes that wait are given so long.
    pub(crate) async fn stop<M: Machine>(
        mut self,
        life: &Life<M>,
        parts: &Parts<M>,
        patience: Duration,
    ) {
        self.stop.send_replace(true);
        let patient = tokio::time::timeout(patience, &mut self.writing).await;
        if patient.is_err() {
            self.writing.abort();
            warn!("Some changes could not be committed before the stop");
        }
        parts.published.closing.store(true, Ordering::Relaxed);
        parts.log.stop_waiting();
        shut_down(life).await;
        // It says so, and ends.
        let _ = self.watching.await;
        self.deciding.shutdown().await;
    }

    /// Ends it for the next one: nobody is told anything. Whether all that it had to apply is applied.
    pub(crate) async fn give_way<M: Machine>(mut self, life: &Life<M>) -> (Told, bool) {
        for task in [&mut self.watching, &mut self.writing] {
            task.abort();
            // Aborted, or ended before.
            let _ = task.await;
        }
        self.deciding.shutdown().await;
        shut_down(life).await;
        let applied = tokio::time::timeout(APPLY_WITHIN, self.state).await;
        (self.told, applied.is_ok())
    }
}

async fn shut_down<M: Machine>(life: &Life<M>) {
    if let Err(cause) = life.engine.shutdown().await {
        warn!(%cause, "The consensus engine did not end in order");
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
