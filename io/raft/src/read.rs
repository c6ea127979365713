//! Reads that are surely right. One question to a majority answers everybody who asked before it was put.
//!
//! While a question is on its way, new readers gather for the next one: joining the one that is under
//! way would be wrong, because a write may have been acknowledged to them since it was put.
//!
//! A follower puts the same question to the leader, and answers once it has applied as much.

use std::sync::Arc;
use std::time::Duration;

use openraft::error::{CheckIsLeaderError, RaftError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::debug;

use crate::error::ReadError;
use crate::ids::{NodeId, Peer};
use crate::leadership::{Leadership, Role, Standing};
use crate::machine::Machine;
use crate::network::Network;
use crate::settings::{Settings, Timing};
use crate::state::Published;
use crate::types::RaftOf;

/// Readers that wait for one question, at most. They cost a few words each, and the question answers
/// all of them; the bound only keeps a stalled engine from gathering them without end.
const READERS: usize = 65_536;

type Answer<M> = Result<Right<M>, ReadError>;

/// The state, surely right when it was asked for.
struct Right<M> {
    machine: Arc<M>,
    /// The log before this index is in it.
    next: u64,
}

impl<M> Clone for Right<M> {
    fn clone(&self) -> Self {
        Self { machine: self.machine.clone(), next: self.next }
    }
}

/// Takes readers from any number of callers.
pub(crate) struct Reader<M> {
    queue: mpsc::Sender<oneshot::Sender<Answer<M>>>,
    standing: Standing,
    timeout: Duration,
    /// Between two questions, where the first found no majority: refused at once, one would be put
    /// again at once.
    pause: Duration,
}

impl<M: Machine> Reader<M> {
    /// Starts the task that asks.
    pub(crate) fn start(
        raft: RaftOf<M>,
        network: Network,
        published: Arc<Published<M>>,
        standing: Standing,
        settings: &Settings,
    ) -> Self {
        let (queue, readers) = mpsc::channel(READERS);
        let (standing_of_asker, timing) = (standing.clone(), settings.timing);
        let timeout = settings.read_timeout;
        let asker =
            Asker { raft, network, published, standing: standing_of_asker, timing, timeout };
        tokio::spawn(asker.run(readers));
        Self { queue, standing, timeout: settings.read_timeout, pause: timing.heartbeat / 4 }
    }

    /// See [`Raft::read`](crate::Raft::read).
    pub(crate) async fn read(&self, deadline: Instant) -> Result<Arc<M>, ReadError> {
        self.read_with(deadline).await.map(|right| right.machine)
    }

    /// How much of the log must be applied for a read that is surely right; on the leader alone.
    pub(crate) async fn index(&self) -> Result<u64, ReadError> {
        let now = self.standing.leadership.borrow().clone();
        if now.role == Role::Following {
            return Err(ReadError::NotLeader { leader: now.leader });
        }
        self.ask(Instant::now() + self.timeout).await.map(|right| right.next)
    }

    async fn read_with(&self, deadline: Instant) -> Answer<M> {
        loop {
            self.await_leader(deadline).await?;
            match self.ask(deadline).await {
                // Deposed, and no successor known yet: a failover costs time, not an error.
                Err(ReadError::NotLeader { leader: None }) if Instant::now() < deadline => {}
                // Nor does an answer of the others that came late once, or was lost.
                Err(ReadError::NoQuorum) if Instant::now() + self.pause < deadline => {
                    sleep(self.pause).await;
                }
                result => return result,
            }
        }
    }

    async fn await_leader(&self, deadline: Instant) -> Result<(), ReadError> {
        let mut leadership = self.standing.leadership.clone();
        let known = timeout_at(deadline, leadership.wait_for(|now| !now.is_leaderless())).await;
        match known {
            Ok(Ok(now)) if now.role != Role::Stopped => Ok(()),
            Ok(_) => Err(stopped(&self.standing)),
            Err(_) => Err(ReadError::NotLeader { leader: None }),
        }
    }

    async fn ask(&self, deadline: Instant) -> Answer<M> {
        let (reply, answer) = oneshot::channel();
        match timeout_at(deadline, self.queue.send(reply)).await {
            Err(_) => return Err(ReadError::NoQuorum),
            Ok(Err(_)) => return Err(stopped(&self.standing)),
            Ok(Ok(())) => {}
        }
        match timeout_at(deadline, answer).await {
            Err(_) => Err(ReadError::NoQuorum),
            Ok(Err(_)) => Err(stopped(&self.standing)),
            Ok(Ok(answer)) => answer,
        }
    }
}

pub(crate) fn stopped(standing: &Standing) -> ReadError {
    match &*standing.fault.borrow() {
        Some(fault) => ReadError::Failed(fault.clone()),
        None => ReadError::Stopping,
    }
}

struct Asker<M: Machine> {
    raft: RaftOf<M>,
    network: Network,
    published: Arc<Published<M>>,
    standing: Standing,
    timing: Timing,
    timeout: Duration,
}

impl<M: Machine> Asker<M> {
    async fn run(self, mut queue: mpsc::Receiver<oneshot::Sender<Answer<M>>>) {
        let mut applied = self.published.changes();
        let mut readers = Vec::new();
        while queue.recv_many(&mut readers, READERS).await > 0 {
            let answer = match timeout(self.timeout, self.ask(&mut applied)).await {
                Ok(answer) => answer,
                Err(_) => Err(ReadError::NoQuorum),
            };
            for reader in readers.drain(..) {
                // One that has given up meanwhile needs no answer.
                let _ = reader.send(answer.clone());
            }
        }
    }

    /// Asks a majority whether this node still leads, then waits until what was committed is applied.
    async fn ask(&self, applied: &mut watch::Receiver<u64>) -> Answer<M> {
        let mut leadership = self.standing.leadership.clone();
        // One that leads on after a restart has all that was committed in its log, and may not know it yet.
        let settled = leadership.wait_for(|now| now.role != Role::Elected).await;
        let now = settled.map(|now| now.clone()).map_err(|_| stopped(&self.standing))?;
        let next = match (now.role, now.leader) {
            (Role::Following, Some((leader, peer))) => self.ask_leader(leader, &peer).await?,
            _ => {
                let (committed, _) =
                    self.raft.get_read_log_id().await.map_err(|cause| self.refusal(cause))?;
                committed.map_or(0, |at| at.index + 1)
            }
        };
        match applied.wait_for(|applied| *applied >= next).await {
            Ok(_) => Ok(Right { machine: self.published.latest(), next }),
            Err(_) => Err(stopped(&self.standing)),
        }
    }

    /// The next index, from the leader. A leader that does not answer is asked no longer than it leads.
    async fn ask_leader(&self, leader: NodeId, peer: &Peer) -> Result<u64, ReadError> {
        let mut leadership = self.standing.leadership.clone();
        let Network { me, transport, .. } = &self.network;
        let question = transport.read_index(me.stamp(leader), &peer.address, self.timing.lease);
        let is_other =
            |now: &Leadership| now.leader.as_ref().is_none_or(|(other, _)| *other != leader);
        tokio::select! {
            answer = timeout(self.timing.lease, question) => match answer {
                Ok(Ok(next)) => return Ok(next),
                Ok(Err(cause)) => debug!(%leader, %cause, "The leader gave no read index"),
                Err(_) => debug!(%leader, "The leader did not answer"),
            },
            _ = leadership.wait_for(is_other) => {}
        }
        // Whoever is refused at once would ask again at once.
        let _ = timeout(self.timing.heartbeat / 4, leadership.wait_for(is_other)).await;
        Err(ReadError::NotLeader { leader: None })
    }

    fn refusal(&self, cause: RaftError<NodeId, CheckIsLeaderError<NodeId, Peer>>) -> ReadError {
        match cause {
            RaftError::APIError(CheckIsLeaderError::ForwardToLeader(forward)) => {
                let peer = forward.leader_node.unwrap_or_default();
                let leader = forward.leader_id.map(|id| (id, peer));
                ReadError::NotLeader { leader }
            }
            RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(_)) => ReadError::NoQuorum,
            RaftError::Fatal(_) => stopped(&self.standing),
        }
    }
}
