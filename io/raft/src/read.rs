//! Reads that are surely right. One question to a majority answers everybody who asked before it was put.
//!
//! While a question is on its way, new readers gather for the next one: joining the one that is under
//! way would be wrong, because a write may have been acknowledged to them since it was put.

use std::sync::Arc;
use std::time::Duration;

use openraft::error::{CheckIsLeaderError, RaftError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::ReadError;
use crate::ids::{NodeId, Peer};
use crate::leadership::{Role, Standing};
use crate::machine::Machine;
use crate::settings::Settings;
use crate::state::Published;
use crate::types::RaftOf;

/// Readers that wait for one question, at most. They cost a few words each, and the question answers
/// all of them; the bound only keeps a stalled engine from gathering them without end.
const READERS: usize = 65_536;

type Answer<M> = Result<Arc<M>, ReadError>;

/// Takes readers from any number of callers.
pub(crate) struct Reader<M> {
    queue: mpsc::Sender<oneshot::Sender<Answer<M>>>,
    standing: Standing,
    timeout: Duration,
}

impl<M: Machine> Reader<M> {
    /// Starts the task that asks.
    pub(crate) fn start(
        raft: RaftOf<M>,
        published: Arc<Published<M>>,
        standing: Standing,
        settings: &Settings,
    ) -> Self {
        let (queue, readers) = mpsc::channel(READERS);
        let asker =
            Asker { raft, published, standing: standing.clone(), timeout: settings.read_timeout };
        tokio::spawn(asker.run(readers));
        Self { queue, standing, timeout: settings.read_timeout }
    }

    /// See [`Raft::read`](crate::Raft::read).
    pub(crate) async fn read(&self) -> Answer<M> {
        let deadline = Instant::now() + self.timeout;
        loop {
            self.await_leadership(deadline).await?;
            match self.ask(deadline).await {
                // Deposed, and no successor known yet: a failover costs time, not an error.
                Err(ReadError::NotLeader { leader: None }) if Instant::now() < deadline => {}
                result => return result,
            }
        }
    }

    async fn await_leadership(&self, deadline: Instant) -> Result<(), ReadError> {
        let mut leadership = self.standing.leadership.clone();
        let known = timeout_at(deadline, leadership.wait_for(|now| !now.is_leaderless())).await;
        let now = match known {
            Ok(Ok(now)) => now.clone(),
            Ok(Err(_)) => return Err(stopped(&self.standing)),
            Err(_) => return Err(ReadError::NotLeader { leader: None }),
        };
        match now.role {
            Role::Stopped => Err(stopped(&self.standing)),
            Role::Following => Err(ReadError::NotLeader { leader: now.leader }),
            Role::Elected | Role::Serving | Role::Unconfirmed => Ok(()),
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

fn stopped(standing: &Standing) -> ReadError {
    match &*standing.fault.borrow() {
        Some(fault) => ReadError::Failed(fault.clone()),
        None => ReadError::Stopping,
    }
}

struct Asker<M: Machine> {
    raft: RaftOf<M>,
    published: Arc<Published<M>>,
    standing: Standing,
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
        let (committed, _) =
            self.raft.get_read_log_id().await.map_err(|cause| self.refusal(cause))?;
        let next = committed.map_or(0, |at| at.index + 1);
        match applied.wait_for(|applied| *applied >= next).await {
            Ok(_) => Ok(self.published.latest()),
            Err(_) => Err(stopped(&self.standing)),
        }
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
