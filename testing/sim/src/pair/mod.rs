//! Pairs: two brokers between which a cluster manager decides. A model of the broker's `pair`, around
//! `core/pair` and the engine's takeover.
//!
//! ```text
//! manager ─ orders ─▶ keep ─ what is known ─▶ core/pair: decide ─▶ wait, refuse, force, rejoin
//!    ▲                 ▲                                                   │        │
//!  beats            greet, evidence              the engine: take_over ◀───┘        ▼
//!                                                      data aside, all of the broker anew
//! ```

mod evidence;
pub mod faults;
pub mod greet;
mod keep;
pub mod manager;

pub use evidence::tell_views;
pub use keep::{order, run, set_aside};

use std::time::Duration;

use abide_broker::Replica;
use abide_model::Table;
use abide_pair::{Claim, Decision, Policy, Takeover};
use abide_raft::Raft;
use tokio::time::Instant;

use crate::chance::Chance;
use manager::Managers;

/// As the shipped configuration has it.
const PEER_TIMEOUT: Duration = Duration::from_secs(1);
/// A peer that greeted so lately lives.
const LIVES: Duration = Duration::from_millis(1_600);

/// What two brokers have together.
pub struct Pair {
    pub policy: Policy,
    pub managers: Managers,
}

impl Pair {
    pub fn new(chance: &Chance) -> Self {
        let takeover = if chance.per_mille(600) { Takeover::Unfenced } else { Takeover::Fenced };
        Self {
            policy: Policy { takeover, peer_timeout: PEER_TIMEOUT },
            managers: Managers::new(chance),
        }
    }

    pub fn is_fenced(&self) -> bool {
        self.policy.takeover == Takeover::Fenced
    }
}

/// What one of the two knows.
#[derive(Default)]
pub struct State {
    /// Gone with the process.
    pub told: Told,
    /// What the manager said and was not taken yet.
    asks: Vec<Asked>,
    /// What was decided last.
    pub decided: Option<Decision>,
    /// It has refused to serve since it was last ordered to.
    pub refused: bool,
    /// It is being stopped in order: nothing is decided any more.
    leaves: bool,
    /// It goes on alone: nobody is told any more that it stands where it stood.
    going_on: bool,
    /// Durable, in the data folder.
    record: Record,
    /// Durable: the claim that the data folder stands on, as far as outsiders know.
    pub stood_on: Claim,
    /// What was set aside.
    pub aside: Vec<Table>,
    /// Which run of the host this is.
    run: u64,
}

impl State {
    /// The process dies.
    pub fn crash(&mut self) {
        (self.told, self.decided) = (Told::default(), None);
        (self.refused, self.leaves, self.going_on) = (false, false, false);
        self.asks.clear();
    }

    /// The host is started anew: its cluster manager says again who is to serve.
    pub fn reboot(&mut self) {
        self.crash();
        self.run += 1;
    }

    /// Whether it is being stopped in order.
    pub fn leaves(&self) -> bool {
        self.leaves
    }

    fn leave(&mut self) {
        self.leaves = true;
    }

    /// The data folder is empty.
    pub fn wipe(&mut self) {
        self.crash();
        (self.record, self.stood_on) = (Record::default(), Claim::default());
    }

    /// The order of a broker that does not run is taken back.
    pub fn drop_order(&mut self) {
        self.record.ordered_in = None;
    }

    pub fn is_ordered(&self) -> bool {
        self.record.ordered_in == Some(self.run)
    }
}

/// What the cluster manager says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Activate { peer_is_down: bool },
    Release,
}

/// What the peer told last.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told {
    greeting: Option<Greeting>,
    at: Option<Instant>,
    missed: Option<Instant>,
    /// Who it was when it last answered this process.
    answered: Option<Mark>,
}

impl Told {
    fn answers(&self) -> bool {
        let heard = self.at.filter(|at| at.elapsed() < LIVES);
        heard.is_some_and(|at| self.missed.is_none_or(|missed| missed < at))
    }
}

/// How one tells the other that it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    mark: Mark,
    retired: bool,
    ordered: bool,
}

/// One life of one data folder, in one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    claim: Claim,
    node: u64,
}

impl Mark {
    fn here(raft: &Raft<Replica>) -> Self {
        Self { claim: claim(raft), node: raft.node().0 }
    }
}

/// What must not be forgotten.
#[derive(Debug, Clone, Copy, Default)]
struct Record {
    /// The manager wants this node to serve: in which run of the host it said so.
    ordered_in: Option<u64>,
    retired: Option<Mark>,
    peer_retired: Option<Mark>,
    /// The claim that this node was about to begin.
    intended: Option<Claim>,
}

/// The claim that an engine stands on.
pub fn claim(raft: &Raft<Replica>) -> Claim {
    let claim = raft.claim();
    Claim { generation: claim.generation, claimant: claim.claimant.0 }
}
