//! A broker's host: its disk, its clock, the engine, and what its agents told it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use abide_broker::Replica;
use abide_model::SessionId;
use abide_raft::{Disk, Formation, NodeId, Peer, Raft, Settings, SnapshotEvery, Start};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::agent::Greeting;
use crate::driver;
use crate::enroll;
use crate::names;
use crate::wires::Wires;
use crate::world::World;

/// A broker's host.
pub struct Broker(Mutex<State>);

pub struct State {
    pub disk: Disk,
    pub node: NodeId,
    folder: TempDir,
    pub life: u64,
    pub raft: Option<Raft<Replica>>,
    /// How far its clock is off, milliseconds.
    pub skew: i64,
    pub links: BTreeMap<usize, Link>,
    /// Sessions about which a change is under way.
    pub busy: BTreeSet<SessionId>,
    pub commands: u64,
    /// Between the start of its process and an engine that runs.
    is_starting: bool,
    /// Whether a fresh disk of it founds a group; else it joins the others'.
    founds: bool,
    /// The mark in its identity folder: the table was lost and is to be made anew.
    pub rebuilds: bool,
    /// How long its driver stands still, with what it knows.
    pub stalled: Option<Instant>,
    /// Whether it takes another broker in at the moment.
    pub admits: bool,
}

/// What an agent told this life of the broker.
#[derive(Clone)]
pub struct Link {
    pub greeting: Greeting,
    pub unread: bool,
    pub heard: Instant,
}

impl Broker {
    pub fn new(chance: u128, founds: bool) -> Self {
        let node = NodeId((chance as u64 >> 12).max(1));
        Self(Mutex::new(State {
            disk: Disk::new(names::CLUSTER.0, node),
            node,
            folder: TempDir::new().unwrap_or_else(|cause| panic!("no folder: {cause}")),
            life: 0,
            raft: None,
            skew: 0,
            links: BTreeMap::new(),
            busy: BTreeSet::new(),
            commands: 0,
            is_starting: false,
            founds,
            rebuilds: false,
            stalled: None,
            admits: false,
        }))
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a greeting that came.
    pub fn hear(&self, agent: usize, greeting: Greeting) {
        let mut state = self.state();
        if state.raft.is_none() {
            return;
        }
        let heard = Instant::now();
        let known = state.links.get(&agent);
        let is_old = known.is_some_and(|link| {
            (link.greeting.life, link.greeting.number) >= (greeting.life, greeting.number)
        });
        if !is_old {
            state.links.insert(agent, Link { greeting, unread: true, heard });
        }
    }

    /// The process dies, and what is not on the disk with it.
    pub fn crash(&self) {
        let mut state = self.state();
        state.life += 1;
        state.links.clear();
        state.busy.clear();
        state.stalled = None;
        state.admits = false;
        if let Some(raft) = state.raft.take() {
            raft.crash(&state.disk);
            // Nobody hears it any more; this only tidies its tasks away.
            tokio::spawn(async move { drop(raft.stop().await) });
        }
    }

    /// The disk is lost too. Its node id is never used again.
    pub fn wipe(&self, chance: u128, empty: Empty) {
        self.crash();
        let rebuilds = empty == Empty::Founds;
        let fresh = Self::new(chance, rebuilds);
        let fresh = fresh.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state();
        let (life, skew, is_starting) = (state.life, state.skew, state.is_starting);
        *state = State { life, skew, is_starting, rebuilds, ..fresh };
    }
}

/// What a broker does with an empty folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Empty {
    /// It is the first after the loss of all, and makes the table anew.
    Founds,
    /// It joins the others.
    Joins,
}

/// Starts the process, unless it is up; gives its engine. Whoever gives up waiting does not stop it.
pub async fn start(world: &Arc<World>, broker: usize) -> Option<Raft<Replica>> {
    let life = {
        let mut state = world.brokers[broker].state();
        if state.raft.is_some() || state.is_starting {
            return None;
        }
        state.is_starting = true;
        state.life += 1;
        state.life
    };
    tokio::spawn(boot(world.clone(), broker, life)).await.ok().flatten()
}

async fn boot(world: Arc<World>, broker: usize, life: u64) -> Option<Raft<Replica>> {
    let (disk, folder, founds) = {
        let state = world.brokers[broker].state();
        (state.disk.clone(), state.folder.path().to_owned(), state.founds)
    };
    let settings = Settings {
        snapshot_every: SnapshotEvery { least: 6_000, most: 6_000 },
        ..Settings::default()
    };
    let start = Start {
        folder,
        cluster: names::CLUSTER.0,
        formation: if founds { Formation::Alone(peer(broker)) } else { Formation::Join },
        settings,
        transport: Arc::new(Wires { world: world.clone(), broker, life }),
    };
    let chance = world.clone();
    let pace = Arc::new(move || chance.sync_time(broker));
    let raft = Raft::start_simulated(Replica::default(), start, &disk, pace).await;
    let raft = raft.unwrap_or_else(|cause| panic!("broker {broker} does not start: {cause:?}"));
    let is_alive = {
        let mut state = world.brokers[broker].state();
        state.is_starting = false;
        let is_alive = state.life == life;
        state.raft = is_alive.then(|| raft.clone());
        is_alive
    };
    if !is_alive {
        // It died while it started.
        raft.crash(&disk);
        tokio::spawn(async move { drop(raft.stop().await) });
        return None;
    }
    tokio::spawn(driver::run(world.clone(), broker, life, raft.clone()));
    tokio::spawn(enroll::run(world, broker, life, raft.clone()));
    Some(raft)
}

/// How a broker is known among the others.
pub fn peer(broker: usize) -> Peer {
    Peer { name: names::broker(broker).to_string(), ..Peer::default() }
}
