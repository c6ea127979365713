//! Everything in one run, and its two phases.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use abide_broker::Replica;
use abide_model::{AgentId, SessionId, Timestamp};
use abide_raft::{NodeId, Raft};
use abide_ticket::{KeyCertificate, KeyRing, SigningKey};
use tokio::time::Instant;
use uuid::Uuid;

use crate::agent::{self, Host};
use crate::broker::{self, Broker, Empty};
use crate::chance::Chance;
use crate::faults;
use crate::history::History;
use crate::invariants;
use crate::names;
use crate::net::{End, Net};
use crate::pair::{self, Pair};
use crate::trace::Trace;
use crate::user;

/// When runs begin, milliseconds since 1970.
const BEGIN: u64 = 1_750_000_000_000;
/// How long things go wrong.
const SAFETY: Duration = Duration::from_secs(20);
/// How long a healed cluster may take to converge.
pub const LIVENESS: Duration = Duration::from_secs(60);

/// One run.
pub struct World {
    seed: u64,
    /// Of the brokers' snapshots.
    folder: PathBuf,
    pub chance: Chance,
    pub trace: Trace,
    pub net: Net,
    pub brokers: Vec<Broker>,
    pub hosts: Vec<Host>,
    pub keys: Vec<SigningKey>,
    pub ring: KeyRing,
    /// If the brokers are two, and a cluster manager decides.
    pub pair: Option<Pair>,
    history: Mutex<History>,
    calm: AtomicBool,
    slow_disks: AtomicU32,
}

impl World {
    /// A world from a seed: of three brokers as a rule, of one in every fourth, of two in every other fourth.
    pub fn new(seed: u64, shown: bool, folder: PathBuf) -> Arc<Self> {
        let chance = Chance::new(seed);
        let brokers = match seed % 4 {
            1 => 2,
            3 => 1,
            _ => 3,
        };
        let root = SigningKey::from_seed(&[1; 32]);
        let keys: Vec<_> = (0..brokers).map(|n| SigningKey::from_seed(&[n + 2; 32])).collect();
        let mut ring = KeyRing::new(names::CLUSTER, root.verifying_key());
        for (number, key) in keys.iter().enumerate() {
            let certificate = KeyCertificate {
                broker: names::broker(number),
                public_key: key.verifying_key(),
                not_before: Timestamp(0),
            };
            let certificate = root.sign(names::CLUSTER, &certificate);
            ring.admit(&certificate).unwrap_or_else(|_| unreachable!("the root signed it"));
        }
        Arc::new(Self {
            seed,
            trace: Trace::new(shown),
            net: Net::default(),
            brokers: (0..brokers)
                .map(|_| Broker::new(&folder, chance.number(), brokers == 1))
                .collect(),
            folder,
            hosts: (0..3).map(|_| Host::default()).collect(),
            keys,
            ring,
            pair: (brokers == 2).then(|| Pair::new(&chance)),
            chance,
            history: Mutex::default(),
            calm: AtomicBool::new(false),
            slow_disks: AtomicU32::new(0),
        })
    }

    /// Runs both phases. Gives the hash of the trace.
    pub async fn run(self: &Arc<Self>) -> u32 {
        self.form().await;
        for agent in 0..self.hosts.len() {
            agent::start(self, agent);
        }
        let users: Vec<_> =
            (0..user::USERS).map(|number| tokio::spawn(user::run(self.clone(), number))).collect();
        if self.pair.is_some() {
            for host in [0, 1] {
                tokio::spawn(pair::manager::run(self.clone(), host));
            }
        }
        // Two at once, so that faults meet.
        let faults = [(); 2].map(|()| tokio::spawn(faults::run(self.clone())));
        tokio::time::sleep(SAFETY).await;
        faults.iter().for_each(tokio::task::JoinHandle::abort);
        self.calm.store(true, Ordering::Relaxed);
        let away = faults::heal(self).await;
        self.trace.add(&format!("all is healed, but {away:?}"));
        if self.pair.is_some() {
            tokio::spawn(pair::faults::activate_one(self.clone()));
        }
        for user in users {
            if user.await.is_err() {
                self.fail("liveness", "a user's task has panicked");
            }
        }
        // What people can do must not depend on it; what is known of it must.
        if let Some(away) = away {
            agent::start(self, away);
        }
        invariants::liveness::converges(self).await;
        invariants::check_end(self);
        self.trace.hash()
    }

    /// Ends the run: what must never happen has.
    pub fn fail(&self, invariant: &str, detail: &str) -> ! {
        self.trace.add(&format!("VIOLATED {invariant}: {detail}"));
        eprintln!("seed {}: {invariant} is violated: {detail}", self.seed);
        eprintln!("replay it with: cargo xtask sim --seed {}", self.seed);
        // Nobody else does; what is left of it is of no use.
        let _ = std::fs::remove_dir_all(&self.folder);
        std::process::exit(1);
    }

    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether everything is healed for good.
    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// How many messages of a thousand come twice.
    pub fn doubled(&self) -> u32 {
        if self.is_calm() { 0 } else { 30 }
    }

    /// Every disk of a broker is lost. What no ledger has any more is lost with them.
    pub fn lose_everything(&self, founder: usize) {
        for (number, broker) in self.brokers.iter().enumerate() {
            let empty = if number == founder { Empty::Founds } else { Empty::Joins };
            broker.wipe(self.chance.number(), empty);
        }
        let lives = |session| self.hosts.iter().any(|host| host.lives(session));
        self.history().lose(lives);
    }

    /// What a host's clock shows.
    pub fn clock(&self, at: End) -> Timestamp {
        let skew = match at {
            End::Broker(broker) => self.brokers[broker].state().skew,
            End::Agent(_) | End::User => 0,
        };
        Timestamp((BEGIN + self.trace.millis()).saturating_add_signed(skew))
    }

    /// How long the next sync of a broker's disk takes.
    pub fn sync_time(&self, broker: usize) -> Duration {
        if self.slow_disks.load(Ordering::Relaxed) & (1 << broker) != 0 {
            self.chance.millis(20, 500)
        } else {
            self.chance.millis(0, 3)
        }
    }

    /// Which disks are slow from now on, one bit a broker.
    pub fn slow_disks(&self, which: u32) {
        self.slow_disks.store(which, Ordering::Relaxed);
    }

    pub fn raft(&self, broker: usize) -> Option<Raft<Replica>> {
        self.brokers[broker].state().raft.clone()
    }

    pub fn is_alive(&self, broker: usize, life: u64) -> bool {
        let state = self.brokers[broker].state();
        state.life == life && state.raft.is_some()
    }

    /// Until when a broker's driver stands still, if it does.
    pub fn stalled(&self, broker: usize, life: u64) -> Option<Instant> {
        let state = self.brokers[broker].state();
        state.stalled.filter(|until| state.life == life && *until > Instant::now())
    }

    pub fn broker_of(&self, node: NodeId) -> Option<usize> {
        let is_it = |broker: &usize| {
            let state = self.brokers[*broker].state();
            state.raft.as_ref().map_or(state.node, Raft::node) == node
        };
        (0..self.brokers.len()).find(is_it)
    }

    pub fn agent_of(&self, id: &AgentId) -> Option<usize> {
        (0..self.hosts.len()).find(|agent| names::agent(*agent) == *id)
    }

    /// A new session's id: later ids are greater, as long as the broker's clock is right.
    pub fn session_id(&self, broker: usize) -> SessionId {
        let at = u128::from(self.clock(End::Broker(broker)).0) << 80;
        let chance = self.chance.number() >> 48;
        SessionId(Uuid::from_u128(at | 0x7000_8000_0000_0000_0000 | chance & 0xffff_ffff_ffff))
    }

    async fn form(self: &Arc<Self>) {
        let mut started = Vec::new();
        for number in 0..self.brokers.len() {
            started.extend(broker::start(self, number).await);
        }
        let [first, _, ..] = &started[..] else { return };
        let brokers = self.brokers.iter().enumerate();
        let members = brokers.map(|(number, it)| (it.state().node, broker::peer(number))).collect();
        let formed = first.form_simulated(members).await;
        formed.unwrap_or_else(|cause| panic!("no group is formed: {cause:?}"));
    }
}
