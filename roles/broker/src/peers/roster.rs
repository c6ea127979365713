//! Who takes part in the consensus: taking brokers in and letting them go, one at a time, on the leader.
//!
//! A broker's name outlives its data folder, its node does not: a broker that comes with a new node takes
//! the place of its earlier one, in one change, once it has caught up.

use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use abide_model::{BrokerId, Timing};
use abide_raft::{Members, MembersError, NodeId, Peer, Raft};
use tokio::sync::Mutex;
use tokio::time::sleep;
use tracing::{info, warn};

use super::Peers;
use crate::replica::Replica;
use crate::timing;

/// How long a new broker may take to catch up before it has to ask again.
const CATCH_UP: Duration = Duration::from_secs(120);

/// A newcomer asks again every quarter of a second, or every few seconds while others that it knows do not
/// answer. One that neither asks nor answers for so long is gone: others are taken in before it comes back.
const GONE: Duration = Duration::from_secs(10);
/// How often it is looked whether it is gone.
const LOOK: Duration = Duration::from_millis(500);

/// Changes of the members, one at a time.
#[derive(Clone)]
pub struct Roster {
    raft: Raft<Replica>,
    peers: Peers,
    changing: Arc<Mutex<()>>,
    /// Who is being taken in.
    newcomer: Arc<std::sync::Mutex<Option<Newcomer>>>,
    /// A broker that has not answered for this long does not count when one is removed.
    unheard: Duration,
}

struct Newcomer {
    node: NodeId,
    /// The broker's name, which outlives its node.
    name: String,
    asked: Instant,
    /// Another life of the same broker has asked since: this one does not come back.
    is_replaced: bool,
}

/// Why a broker is not taken in.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// It does not ask any more, and has not caught up.
    #[error("it has gone before it had caught up")]
    Gone,
    /// The engine.
    #[error("the brokers could not be changed")]
    Members(#[from] MembersError),
}

/// Why a broker is not let go.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// It would have to confirm its own removal.
    #[error("this broker leads; stop it first, then ask another broker to remove it")]
    Leads,
    /// The others could confirm nothing any more.
    #[error(
        "without it {left} brokers would be left, of which {answer} answer: no majority. Bring \
         another back or add one first"
    )]
    Quorum {
        /// How many voters there would be.
        left: usize,
        /// How many of them answer.
        answer: usize,
    },
    /// The engine.
    #[error("the brokers could not be changed")]
    Members(#[from] MembersError),
}

impl Roster {
    /// The members of this engine's group.
    pub fn new(raft: Raft<Replica>, peers: Peers, timing: Timing) -> Self {
        Self {
            raft,
            peers,
            changing: Arc::default(),
            newcomer: Arc::default(),
            unheard: timing::unheard(timing),
        }
    }

    /// Whether a node is a voter, at this address, and the only one of its name.
    pub fn is_settled(&self, node: NodeId, me: &Peer) -> bool {
        is_settled(&self.raft, node, me)
    }

    /// Takes a broker in, in the background, unless another change is under way: it is to ask again until
    /// it votes.
    pub fn take_in(&self, node: NodeId, peer: Peer) {
        if self.is_settled(node, &peer) {
            return;
        }
        let asked = Instant::now();
        let Ok(one) = Arc::clone(&self.changing).try_lock_owned() else {
            match &mut *self.newcomer() {
                Some(known) if known.node == node => known.asked = asked,
                Some(known) if known.name == peer.name => known.is_replaced = true,
                _ => {}
            }
            return;
        };
        let name = peer.name.clone();
        *self.newcomer() = Some(Newcomer { node, name, asked, is_replaced: false });
        let roster = self.clone();
        tokio::spawn(async move {
            let gone = roster.gone(&peer.address);
            if let Err(cause) = admit(&roster.raft, node, peer.clone(), gone).await {
                let cause: &dyn std::error::Error = &cause;
                warn!(%node, cause, "A broker could not be taken in yet");
            }
            drop(one);
        });
    }

    /// Returns when the newcomer, at this address, is gone.
    async fn gone(&self, address: &str) {
        loop {
            let (asked, is_replaced) = match &*self.newcomer() {
                Some(known) => (Some(known.asked.elapsed()), known.is_replaced),
                None => (None, false),
            };
            if is_replaced {
                return;
            }
            if asked.into_iter().chain(self.peers.silence(address)).min() > Some(GONE) {
                return;
            }
            sleep(LOOK).await;
        }
    }

    fn newcomer(&self) -> MutexGuard<'_, Option<Newcomer>> {
        // It is replaced as a whole.
        self.newcomer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a broker go for good.
    ///
    /// # Errors
    /// [`RosterError`]: the others could not go on without it.
    pub async fn remove(&self, broker: &BrokerId) -> Result<(), RosterError> {
        let _one = self.changing.lock().await;
        let members = self.raft.status().members;
        let gone = lives_of(&members, broker.as_str());
        if gone.contains(&self.raft.node()) {
            return Err(RosterError::Leads);
        }
        let voters: BTreeSet<_> = members.voters.iter().flatten().copied().collect();
        let left: BTreeSet<_> = voters.difference(&gone).copied().collect();
        let answer = left.iter().filter(|node| self.answers(&members, **node)).count();
        if left.is_empty() || answer < left.len() / 2 + 1 {
            return Err(RosterError::Quorum { left: left.len(), answer });
        }
        if left != voters {
            self.raft.set_voters(left).await?;
        }
        let rest: BTreeSet<_> = self.raft.status().members.nodes.into_keys().collect();
        let idle: BTreeSet<_> = gone.intersection(&rest).copied().collect();
        if !idle.is_empty() {
            self.raft.drop_learners(idle).await?;
        }
        Ok(())
    }

    fn answers(&self, members: &Members, node: NodeId) -> bool {
        let silence = members.nodes.get(&node).and_then(|it| self.peers.silence(&it.address));
        node == self.raft.node() || silence.is_some_and(|silence| silence < self.unheard)
    }
}

/// Whether a node is a voter, at this address, and the only one of its name.
pub fn is_settled(raft: &Raft<Replica>, node: NodeId, me: &Peer) -> bool {
    let members = raft.status().members;
    members.voters.len() == 1
        && members.voters[0].contains(&node)
        && members.nodes.get(&node) == Some(me)
        && lives_of(&members, &me.name).len() == 1
}

/// Makes a node a voter in place of its broker's earlier ones. On the leader alone, one at a time. A node that
/// is `gone` before it has caught up is let go again.
///
/// # Errors
/// [`AdmitError`]; it is to ask again.
pub async fn admit(
    raft: &Raft<Replica>,
    node: NodeId,
    peer: Peer,
    gone: impl Future<Output = ()>,
) -> Result<(), AdmitError> {
    raft.add_learner(node, peer.clone()).await?;
    tokio::select! {
        caught_up = raft.caught_up(node, CATCH_UP) => caught_up?,
        () = gone => {
            if !raft.status().members.voters.iter().flatten().any(|voter| *voter == node) {
                raft.drop_learners([node].into()).await?;
            }
            return Err(AdmitError::Gone);
        }
    }
    let members = raft.status().members;
    let mut earlier = lives_of(&members, &peer.name);
    earlier.remove(&node);
    let mut voters: BTreeSet<_> = members.voters.into_iter().flatten().collect();
    voters.retain(|voter| !earlier.contains(voter));
    voters.insert(node);
    raft.set_voters(voters).await?;
    let left: BTreeSet<_> = raft.status().members.nodes.into_keys().collect();
    let idle: BTreeSet<_> = earlier.intersection(&left).copied().collect();
    if !idle.is_empty() {
        raft.drop_learners(idle).await?;
    }
    info!(%node, broker = peer.name, "Broker takes part");
    Ok(())
}

/// The nodes that are or were this broker.
fn lives_of(members: &Members, name: &str) -> BTreeSet<NodeId> {
    members.nodes.iter().filter(|(_, peer)| peer.name == name).map(|(node, _)| *node).collect()
}
