//! Who leads, and whether this node may serve and command.
//!
//! ```text
//! Following ─ elected ─▶ Elected ─ an entry of its own term applied ─▶ Serving
//!     ▲                                                                 │  ▲
//!     └───────────────── a higher term ───────────────────── no majority │  │ a majority
//!                                                             for a lease ▼  │
//!                                                                   Unconfirmed
//! ```
//!
//! openraft's own state is not enough: a leader that was cut off believes in itself for ever.

use std::sync::Arc;
use std::time::Duration;

use openraft::{RaftMetrics, ServerState};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{error, info};

use crate::election::Ear;
use crate::error::Fault;
use crate::ids::{NodeId, Peer, Position};
use crate::machine::Machine;
use crate::meters::Meters;
use crate::settings::Timing;
use crate::state::Published;
use crate::store::{Health, LogStore};
use crate::types::RaftOf;

/// A lone voter needs nobody's acknowledgement but its own: it counts as serving until its engine has
/// stood still for this many leases.
const LONE_PATIENCE: u32 = 8;

/// What this node is to the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A follower, a learner, or a candidate.
    Following,
    /// Leader, but no entry of its own term is applied yet: it may not command.
    Elected,
    /// Leader, applied an entry of its term, acknowledged by a majority within the lease.
    Serving,
    /// Leader by its own account, but not acknowledged within the lease: it answers nobody, though
    /// its commands are still fenced like a leader's.
    Unconfirmed,
    /// The engine does not run any more.
    Stopped,
}

/// Who leads, as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    /// This node.
    pub me: NodeId,
    /// Raft's term.
    pub term: u64,
    /// The leader of that term, if one is known, and where it is reached.
    pub leader: Option<(NodeId, Peer)>,
    /// This node's part.
    pub role: Role,
}

impl Leadership {
    /// Whether this node can serve a login now.
    pub fn is_serving(&self) -> bool {
        self.role == Role::Serving
    }

    /// Whether nobody is known to lead, and somebody may yet.
    pub fn is_leaderless(&self) -> bool {
        self.leader.is_none() && self.role != Role::Stopped
    }

    /// Whether an entry of this leader's own term is applied: only then may it command.
    pub fn may_command(&self) -> bool {
        matches!(self.role, Role::Serving | Role::Unconfirmed)
    }
}

/// What the watching task tells.
#[derive(Clone)]
pub(crate) struct Standing {
    pub(crate) leadership: watch::Receiver<Leadership>,
    /// When a majority was last known to follow this leader.
    pub(crate) acknowledged: watch::Receiver<Option<Instant>>,
    pub(crate) fault: watch::Receiver<Option<Fault>>,
}

/// Tells it, over all lives of a node.
#[derive(Clone)]
pub(crate) struct Told {
    leadership: watch::Sender<Leadership>,
    acknowledged: watch::Sender<Option<Instant>>,
    fault: watch::Sender<Option<Fault>>,
}

impl Told {
    /// Nothing yet.
    pub(crate) fn new(me: NodeId) -> Self {
        Self {
            leadership: watch::Sender::new(nobody(me)),
            acknowledged: watch::Sender::new(None),
            fault: watch::Sender::new(None),
        }
    }

    /// Whoever listens.
    pub(crate) fn standing(&self) -> Standing {
        Standing {
            leadership: self.leadership.subscribe(),
            acknowledged: self.acknowledged.subscribe(),
            fault: self.fault.subscribe(),
        }
    }

    /// Between two lives nobody leads.
    pub(crate) fn pause(&self, me: NodeId) {
        self.acknowledged.send_replace(None);
        self.leadership.send_replace(nobody(me));
    }

    /// No further life follows.
    pub(crate) fn fail(&self, fault: Fault) {
        error!(cause = &fault as &dyn std::error::Error, "The engine has stopped");
        self.fault.send_replace(Some(fault));
        self.leadership.send_modify(|now| {
            now.leader = None;
            now.role = Role::Stopped;
        });
    }
}

fn nobody(me: NodeId) -> Leadership {
    Leadership { me, term: 0, leader: None, role: Role::Following }
}

/// Starts the task that turns openraft's metrics into [`Leadership`], until the engine stops.
pub(crate) fn watch<M: Machine>(
    told: Told,
    raft: &RaftOf<M>,
    published: &Arc<Published<M>>,
    (log, ear): (LogStore, Arc<Ear>),
    timing: Timing,
) -> JoinHandle<()> {
    let Told { leadership, acknowledged, fault } = told;
    let (mut metrics, mut applied) = (raft.metrics(), published.applied());
    let health = log.health();
    // A leader restored by a restart has entries of its own term applied before the end of its log is.
    let floor = log.last();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(timing.lease / 4);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let (running, fresh) = tokio::select! {
                changed = metrics.changed() => (changed.is_ok(), changed.is_ok()),
                Ok(()) = applied.changed() => (true, metrics.has_changed().unwrap_or(false)),
                _ = tick.tick() => (true, metrics.has_changed().unwrap_or(false)),
            };
            let now = metrics.borrow_and_update().clone();
            // As of when it was told: an engine that stands still tells nothing, and so ages.
            if let Some(age) = now.millis_since_quorum_ack.filter(|_| fresh) {
                acknowledged.send_replace(Instant::now().checked_sub(Duration::from_millis(age)));
            }
            if let Err(end) = &now.running_state {
                fault.send_replace(Fault::of(end, &health.borrow()));
            } else if !running {
                fault.send_replace(Some(Fault::Panicked));
            }
            let role = if running && now.running_state.is_ok() {
                let applied = applied.borrow_and_update().filter(|at| Some(*at) >= floor);
                role(&now, applied, *acknowledged.borrow(), timing)
            } else {
                Role::Stopped
            };
            update(&leadership, &now, role, log.meters());
            if role == Role::Serving
                && let Some(gap) = ear.leads()
            {
                log.meters().took_over(gap);
            }
            if role == Role::Stopped {
                if let Some(fault) = &*fault.borrow() {
                    error!(cause = fault as &dyn std::error::Error, "The engine has stopped");
                }
                return;
            }
        }
    })
}

fn role(
    now: &RaftMetrics<NodeId, Peer>,
    applied: Option<Position>,
    acknowledged: Option<Instant>,
    timing: Timing,
) -> Role {
    if now.state != ServerState::Leader || now.current_leader != Some(now.id) {
        return Role::Following;
    }
    if applied.is_none_or(|at| (at.term, at.leader) != (now.current_term, now.id)) {
        return Role::Elected;
    }
    match acknowledged {
        Some(at) if at.elapsed() < patience(now, timing) => Role::Serving,
        _ => Role::Unconfirmed,
    }
}

/// How old the last acknowledgement of a leader that serves may be.
pub(crate) fn patience(now: &RaftMetrics<NodeId, Peer>, timing: Timing) -> Duration {
    let alone = now.membership_config.voter_ids().count() == 1;
    if alone { timing.lease * LONE_PATIENCE } else { timing.lease }
}

fn update(
    leadership: &watch::Sender<Leadership>,
    now: &RaftMetrics<NodeId, Peer>,
    role: Role,
    meters: &Meters,
) {
    let leader = now.current_leader.filter(|_| role != Role::Stopped).map(|leader| {
        let peer = now.membership_config.membership().get_node(&leader).cloned();
        (leader, peer.unwrap_or_default())
    });
    let new = Leadership { me: now.id, term: now.current_term, leader, role };
    leadership.send_if_modified(|old| {
        if *old == new {
            return false;
        }
        info!(term = new.term, role = ?new.role, leader = ?new.leader, "Leadership changed");
        count(meters, old, &new);
        *old = new;
        true
    });
}

fn count(meters: &Meters, old: &Leadership, new: &Leadership) {
    let lead = |it: &Leadership| it.leader.as_ref().map(|(node, _)| (it.term, *node));
    if let Some(now) = lead(new).filter(|now| lead(old) != Some(*now)) {
        meters.leader_changed();
        if now.1 == new.me {
            meters.won();
        }
    }
}

impl Fault {
    fn of(end: &openraft::error::Fatal<NodeId>, health: &Health) -> Option<Self> {
        match (end, health) {
            (openraft::error::Fatal::Stopped, _) => None,
            (_, Health::Failed(cause)) => Some(Self::Store(cause.clone())),
            (openraft::error::Fatal::StorageError(cause), _) => {
                Some(Self::Storage(cause.to_string()))
            }
            (openraft::error::Fatal::Panicked, _) => Some(Self::Panicked),
        }
    }
}
