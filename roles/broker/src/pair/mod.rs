//! Two brokers between which a cluster manager decides: what each knows of the other, and when one goes on
//! alone.
//!
//! ```text
//! abide ha ─ orders ─▶ keep ─ what is known ─▶ core/pair: decide ─▶ wait, refuse, force, rejoin
//!                       ▲                                                      │       │
//!  peer ◀── greet ──▶ what it told                       io/raft: take_over ◀──┘       │
//!                                                        run: data aside, start anew ◀─┘
//! ```
//! Every broker answers `abide ha status`; the rest is for those that have `[pair]` in their configuration.

mod aside;
mod greet;
mod keep;
mod mark;
mod record;
mod status;

pub(crate) use aside::{finish_setting_aside, set_aside, tidy};
pub(crate) use greet::{greet, meet, retire};
pub(crate) use keep::{keep, outbid};
pub(crate) use record::drop_order;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use abide_pair::Claim;
use abide_raft::Raft;
use abide_wire::peer::Greeting;
use tokio::sync::Notify;

use crate::replica::Replica;
use crate::settings::{PairSettings, Settings};
use mark::Mark;
use record::Record;

/// A peer that greeted so lately lives: it does once a second.
const LIVES: Duration = Duration::from_millis(1_600);

/// What is known of the other one, and what must not be forgotten. Clones are the same.
#[derive(Clone)]
pub struct Pair(Arc<Shared>);

struct Shared {
    settings: Option<PairSettings>,
    told: Mutex<Told>,
    record: Mutex<Record>,
    /// Something was told.
    news: Notify,
    /// The peer is to be greeted now.
    hurry: Notify,
    /// This node is going on alone: nobody is told any more that it stands where it stood.
    going_on: AtomicBool,
}

/// What the peer told last.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    /// Its words.
    pub(crate) greeting: Option<Greeting>,
    /// When it was heard.
    pub(crate) at: Option<Instant>,
    /// When it did not answer since then.
    pub(crate) missed: Option<Instant>,
    /// Who it was when it last answered this process: it had heard it, then.
    pub(crate) answered: Option<Mark>,
}

impl Told {
    /// Whether it answers, as far as anybody has tried.
    pub(crate) fn answers(&self) -> bool {
        let heard = self.at.filter(|at| at.elapsed() < LIVES);
        heard.is_some_and(|at| self.missed.is_none_or(|missed| missed < at))
    }

    /// The claim it stands on.
    pub(crate) fn claim(&self) -> Option<Claim> {
        self.greeting.map(|it| Claim { generation: it.generation, claimant: it.claimant })
    }
}

impl Pair {
    /// Nothing was told yet; what was not to be forgotten is read.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn open(settings: &Settings) -> std::io::Result<Self> {
        Ok(Self(Arc::new(Shared {
            settings: settings.pair.clone(),
            told: Mutex::default(),
            record: Mutex::new(Record::open(&settings.data_dir)?),
            news: Notify::new(),
            hurry: Notify::new(),
            going_on: AtomicBool::new(false),
        })))
    }

    /// The other one tells how it stands; gives how this one does, unless that is about to change.
    pub fn hear(&self, greeting: &Greeting, raft: &Raft<Replica>) -> Option<Greeting> {
        self.note(greeting, false);
        // Heard first, looked then: one that goes on says so first, and looks then whom it has heard.
        let going_on = self.0.going_on.load(Ordering::SeqCst);
        (!going_on).then(|| self.greeting(raft))
    }

    fn note(&self, greeting: &Greeting, answers: bool) {
        let at = Some(Instant::now());
        {
            let mut told = lock(&self.0.told);
            let answered = answers.then(|| Mark::of(greeting)).or(told.answered);
            *told = Told { greeting: Some(*greeting), at, missed: None, answered };
        }
        let mark = Mark::of(greeting);
        let retired = greeting.retired.then_some(mark);
        self.change(|record| {
            if retired.is_some() || record.peer_retired.is_some_and(|it| it.node == mark.node) {
                record.peer_retired = retired;
            }
        });
        self.0.news.notify_one();
    }

    /// How this one stands.
    pub(crate) fn greeting(&self, raft: &Raft<Replica>) -> Greeting {
        let claim = raft.claim();
        let mark = Mark::here(raft);
        let record = lock(&self.0.record);
        Greeting {
            generation: claim.generation,
            claimant: claim.claimant.0,
            node: mark.node,
            pristine: raft.is_pristine(),
            retired: record.retired == Some(mark),
            ordered: record.is_ordered(),
        }
    }

    /// From now on, until that is dropped, this node answers no greeting: what it would say is about to change.
    fn go_on(&self) -> GoingOn<'_> {
        self.0.going_on.store(true, Ordering::SeqCst);
        GoingOn(self)
    }

    pub(crate) fn settings(&self) -> Option<&PairSettings> {
        self.0.settings.as_ref()
    }

    pub(crate) fn told(&self) -> Told {
        *lock(&self.0.told)
    }

    fn missed(&self) {
        lock(&self.0.told).missed = Some(Instant::now());
        self.0.news.notify_one();
    }

    pub(crate) fn record(&self) -> Record {
        lock(&self.0.record).clone()
    }

    /// Changes what must not be forgotten. Durable when it returns, or said why it is not.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Record)) {
        let mut record = lock(&self.0.record);
        let mut new = record.clone();
        change(&mut new);
        if new == *record {
            return;
        }
        if let Err(cause) = new.save() {
            tracing::error!(%cause, "What the cluster manager said cannot be written");
        }
        *record = new;
    }

    pub(crate) async fn news(&self) {
        self.0.news.notified().await;
    }

    pub(crate) fn hurry(&self) {
        self.0.hurry.notify_one();
    }
}

/// See [`Pair::go_on`].
struct GoingOn<'p>(&'p Pair);

impl Drop for GoingOn<'_> {
    fn drop(&mut self) {
        self.0.0.going_on.store(false, Ordering::SeqCst);
    }
}

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each is replaced as a whole.
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where what must not be forgotten lies.
pub(super) fn record_file(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join("pair.json")
}
