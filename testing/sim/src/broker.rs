//! A broker's host: its disk, its clock, the engine, and what its agents told it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use abide_broker::Replica;
use abide_model::{Fence, SessionId};
use abide_pair::Claim;
use abide_raft::{Disk, Formation, NodeId, Peer, Raft, Settings, SnapshotEvery, Start};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::agent::Greeting;
use crate::driver;
use crate::enroll;
use crate::invariants::claims;
use crate::names;
use crate::pair::{self, greet};
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
    /// The node that asked last to be taken in, and when.
    pub newcomer: Option<(NodeId, Instant)>,
    /// Its host has no power.
    is_off: bool,
    /// As one of a pair.
    pub pair: pair::State,
}

/// What an agent told this life of the broker.
#[derive(Clone)]
pub struct Link {
    pub greeting: Greeting,
    pub unread: bool,
    pub heard: Instant,
    /// Whom it obeys, and the highest claim it was told of, when it was last asked.
    pub obeys: Option<(Fence, Claim)>,
}

impl Broker {
    pub fn new(folder: &Path, chance: u128, founds: bool) -> Self {
        let node = NodeId((chance as u64 >> 12).max(1));
        Self(Mutex::new(State {
            disk: Disk::new(names::CLUSTER.0, node),
            node,
            folder: TempDir::new_in(folder).unwrap_or_else(|cause| panic!("no folder: {cause}")),
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
            newcomer: None,
            is_off: false,
            pair: pair::State::default(),
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
            let obeys = known.and_then(|link| link.obeys);
            state.links.insert(agent, Link { greeting, unread: true, heard, obeys });
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
        state.newcomer = None;
        state.pair.crash();
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
        let parent = self.state().folder.path().with_file_name("");
        let fresh = Self::new(&parent, chance, rebuilds);
        let fresh = fresh.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state();
        let (life, skew, is_starting) = (state.life, state.skew, state.is_starting);
        let (is_off, mut pair) = (state.is_off, std::mem::take(&mut state.pair));
        pair.wipe();
        *state = State { life, skew, is_starting, rebuilds, is_off, pair, ..fresh };
    }

    /// As one of a pair, it begins anew on a fresh disk; what the old one holds is kept aside.
    pub fn set_aside(&self, chance: u128) {
        self.crash();
        let aside = {
            let state = self.state();
            state.disk.state(Replica::default(), state.folder.path())
        };
        let aside = aside.unwrap_or_else(|cause| panic!("it cannot be read: {cause:?}"));
        self.wipe(chance, Empty::Joins);
        self.state().pair.aside.push(aside.0);
    }

    /// Its host loses its power.
    pub fn power_off(&self) {
        self.crash();
        let mut state = self.state();
        state.is_off = true;
        state.pair.reboot();
    }

    /// Its host has it again.
    pub fn power_on(&self) {
        self.state().is_off = false;
    }

    /// Whether its host has no power.
    pub fn is_off(&self) -> bool {
        self.state().is_off
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
        if state.raft.is_some() || state.is_starting || state.is_off {
            return None;
        }
        state.is_starting = true;
        state.life += 1;
        state.life
    };
    tokio::spawn(boot(world.clone(), broker, life)).await.ok().flatten()
}

/// Boxed, since what it starts may start it again.
fn boot(world: Arc<World>, broker: usize, life: u64) -> Booting {
    Box::pin(boot_now(world, broker, life))
}

type Booting = Pin<Box<dyn Future<Output = Option<Raft<Replica>>> + Send>>;

async fn boot_now(world: Arc<World>, broker: usize, life: u64) -> Option<Raft<Replica>> {
    let (raft, disk) = loop {
        let (raft, disk) = start_engine(&world, broker, life).await;
        let is_outbid =
            world.pair.is_some() && greet::meet(&world, broker, life, &raft).await.is_some();
        if !is_outbid || world.brokers[broker].state().life != life {
            break (raft, disk);
        }
        end_engine(raft, &disk);
        pair::set_aside(&world, broker);
        // The same process goes on.
        world.brokers[broker].state().life = life;
    };
    let is_alive = {
        let mut state = world.brokers[broker].state();
        state.is_starting = false;
        let is_alive = state.life == life;
        if is_alive {
            state.node = raft.node();
            state.raft = Some(raft.clone());
        }
        is_alive
    };
    if !is_alive {
        // It died while it started.
        end_engine(raft, &disk);
        return None;
    }
    if let Some(pair) = &world.pair {
        claims::of(&world, broker, &raft);
        tokio::spawn(pair::run(world.clone(), broker, life, raft.clone(), pair.policy));
        tokio::spawn(greet::run(world.clone(), broker, life, raft.clone()));
    }
    tokio::spawn(driver::run(world.clone(), broker, life, raft.clone()));
    tokio::spawn(enroll::run(world, broker, life, raft.clone()));
    Some(raft)
}

async fn start_engine(world: &Arc<World>, broker: usize, life: u64) -> (Raft<Replica>, Disk) {
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
    (raft.unwrap_or_else(|cause| panic!("broker {broker} does not start: {cause:?}")), disk)
}

fn end_engine(raft: Raft<Replica>, disk: &Disk) {
    raft.crash(disk);
    tokio::spawn(async move { drop(raft.stop().await) });
}

/// How a broker is known among the others.
pub fn peer(broker: usize) -> Peer {
    Peer { name: names::broker(broker).to_string(), ..Peer::default() }
}
