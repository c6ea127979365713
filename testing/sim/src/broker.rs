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
    /// Its disk was lost with all others: nobody is served before all agents have told what they have.
    pub recovering: bool,
    pub commands: u64,
}

/// What an agent told this life of the broker.
#[derive(Clone)]
pub struct Link {
    pub greeting: Greeting,
    pub unread: bool,
    pub heard: Instant,
}

impl Broker {
    pub fn new(world_number: u128) -> Self {
        let node = NodeId((world_number as u64 >> 12).max(1));
        Self(Mutex::new(State {
            disk: Disk::new(names::CLUSTER.0, node),
            node,
            folder: TempDir::new().unwrap_or_else(|cause| panic!("no folder: {cause}")),
            life: 0,
            raft: None,
            skew: 0,
            links: BTreeMap::new(),
            busy: BTreeSet::new(),
            recovering: false,
            commands: 0,
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
        if let Some(raft) = state.raft.take() {
            raft.crash(&state.disk);
            // Nobody hears it any more; this only tidies its tasks away.
            tokio::spawn(async move { drop(raft.stop().await) });
        }
    }

    /// The disk is lost too. Its node id is never used again.
    pub fn wipe(&self, chance: u128) {
        self.crash();
        let fresh = Self::new(chance);
        let fresh = fresh.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state();
        *state = State { life: state.life, skew: state.skew, recovering: true, ..fresh };
    }
}

/// Starts the process. Gives the engine, for forming a group.
pub async fn start(world: &Arc<World>, broker: usize, formation: Formation) -> Raft<Replica> {
    let (disk, folder, life) = {
        let mut state = world.brokers[broker].state();
        state.life += 1;
        (state.disk.clone(), state.folder.path().to_owned(), state.life)
    };
    let settings = Settings {
        snapshot_every: SnapshotEvery { least: 6_000, most: 6_000 },
        ..Settings::default()
    };
    let start = Start {
        folder,
        cluster: names::CLUSTER.0,
        formation,
        settings,
        transport: Arc::new(Wires { world: world.clone(), broker, life }),
    };
    let chance = world.clone();
    let pace = Arc::new(move || chance.sync_time(broker));
    let raft = Raft::start_simulated(Replica::default(), start, &disk, pace).await;
    let raft = raft.unwrap_or_else(|cause| panic!("broker {broker} does not start: {cause:?}"));
    {
        let mut state = world.brokers[broker].state();
        if state.life == life {
            state.raft = Some(raft.clone());
        }
    }
    tokio::spawn(driver::run(world.clone(), broker, life, raft.clone()));
    raft
}

/// The only member of a group of one.
pub fn alone() -> Formation {
    Formation::Alone(Peer::default())
}
