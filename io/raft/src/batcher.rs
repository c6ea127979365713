//! Many commands in one log entry. openraft waits for one fsync per entry, so the entry is what is shared.
//!
//! There is no timer: while two entries are on their way, what arrives gathers for the next one. A lone
//! command goes at once; under load the batches grow by themselves.

use std::sync::Arc;

use openraft::error::{ClientWriteError, ForwardToLeader};
use openraft::raft::ClientWriteResult;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use crate::batch::{Batch, Gathering, MOST_BYTES, MOST_COMMANDS};
use crate::error::ProposeError;
use crate::leadership::{Role, Standing};
use crate::machine::Machine;
use crate::settings::{Reserve, Settings};
use crate::state::Published;
use crate::store::LogStore;
use crate::types::{RaftOf, Types};

/// Log entries on their way at once: one is being synced while the next is being gathered and sent.
const IN_FLIGHT: usize = 2;
/// Eight full batches. At 40,000 commands a second that is a tenth of a second of waiting; a longer queue
/// would make callers wait for answers that they have given up on.
const QUEUE: usize = 8 * MOST_COMMANDS;
/// One command, in bytes. It must fit an entry.
const MOST_COMMAND: usize = MOST_BYTES - 4;

struct Proposal<O> {
    command: Vec<u8>,
    /// Refused if fewer bytes are free when it would be written.
    reserve: u64,
    reply: oneshot::Sender<Result<O, ProposeError>>,
}

/// Takes commands from any number of callers.
pub(crate) struct Batcher<M: Machine> {
    queue: mpsc::Sender<Proposal<M::Outcome>>,
    published: Arc<Published<M>>,
    log: LogStore,
    standing: Standing,
    reserve: Reserve,
}

impl<M: Machine> Batcher<M> {
    /// Starts the task that writes batches until `stop` is true and the queue is empty.
    pub(crate) fn start(
        raft: RaftOf<M>,
        (log, published): (LogStore, Arc<Published<M>>),
        standing: Standing,
        settings: &Settings,
        stop: watch::Receiver<bool>,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, proposals) = mpsc::channel(QUEUE);
        let task =
            tokio::spawn(write_batches(raft, log.clone(), standing.clone(), proposals, stop));
        let batcher = Self { queue, published, log, standing, reserve: settings.reserve };
        (batcher, task)
    }

    /// See [`Raft::propose`](crate::Raft::propose).
    pub(crate) async fn propose(
        &self,
        command: &M::Command,
        deadline: Instant,
    ) -> Result<M::Outcome, ProposeError> {
        let began = Instant::now();
        let reserve = match M::is_essential(command) {
            true => self.reserve.essential,
            false => self.reserve.ordinary,
        };
        check_room(self.log.free_space(), reserve)?;
        let command = self.published.latest().encode(command)?;
        if command.len() > MOST_COMMAND {
            return Err(ProposeError::TooLarge { size: command.len(), limit: MOST_COMMAND });
        }
        loop {
            self.await_leadership(deadline).await?;
            match self.submit(command.clone(), reserve, deadline).await {
                // Deposed, and no successor known yet: a failover costs time, not an error.
                Err(ProposeError::NotLeader { leader: None }) if Instant::now() < deadline => {}
                result => {
                    if result.is_ok() {
                        self.log.meters().committed(began.elapsed());
                    }
                    return result;
                }
            }
        }
    }

    /// Waits until somebody leads. Goes on if it is this node.
    async fn await_leadership(&self, deadline: Instant) -> Result<(), ProposeError> {
        let mut leadership = self.standing.leadership.clone();
        let known = timeout_at(deadline, leadership.wait_for(|now| !now.is_leaderless())).await;
        let now = match known {
            Ok(Ok(now)) => now.clone(),
            Ok(Err(_)) => return Err(self.stopped()),
            Err(_) => return Err(ProposeError::NotLeader { leader: None }),
        };
        match now.role {
            Role::Stopped => Err(self.stopped()),
            Role::Following => Err(ProposeError::NotLeader { leader: now.leader }),
            Role::Elected | Role::Serving | Role::Unconfirmed => Ok(()),
        }
    }

    async fn submit(
        &self,
        command: Vec<u8>,
        reserve: u64,
        deadline: Instant,
    ) -> Result<M::Outcome, ProposeError> {
        let (reply, outcome) = oneshot::channel();
        match timeout_at(deadline, self.queue.send(Proposal { command, reserve, reply })).await {
            Err(_) => return Err(ProposeError::Busy),
            Ok(Err(_)) => return Err(self.stopped()),
            Ok(Ok(())) => {}
        }
        match timeout_at(deadline, outcome).await {
            Err(_) | Ok(Err(_)) => Err(ProposeError::Unknown),
            Ok(Ok(result)) => result,
        }
    }

    fn stopped(&self) -> ProposeError {
        stopped(&self.standing)
    }
}

fn check_room(free: u64, needed: u64) -> Result<(), ProposeError> {
    if free < needed { Err(ProposeError::DiskFull { free, needed }) } else { Ok(()) }
}

fn stopped(standing: &Standing) -> ProposeError {
    match &*standing.fault.borrow() {
        Some(fault) => ProposeError::Failed(fault.clone()),
        None => ProposeError::Stopping,
    }
}

async fn write_batches<M: Machine>(
    raft: RaftOf<M>,
    log: LogStore,
    standing: Standing,
    mut queue: mpsc::Receiver<Proposal<M::Outcome>>,
    mut stop: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut held = None;
    loop {
        let first = match held.take() {
            Some(proposal) => Some(proposal),
            None => tokio::select! {
                proposal = queue.recv() => proposal,
                // Closed for callers; what is queued is still received and written.
                Ok(_) = stop.wait_for(|stop| *stop), if !queue.is_closed() => {
                    queue.close();
                    continue;
                }
            },
        };
        let Some(first) = first else { break };
        let slot = slots.clone().acquire_owned().await.expect("nobody closes the semaphore");
        // The answers to one batch wake all its callers, and each proposes again in its turn. The first of
        // them must not go alone: that would cost the others a whole round.
        tokio::task::yield_now().await;
        let free = log.look_at_free_space();
        let (batch, replies, left) = gather(first, &mut queue, free);
        held = left;
        if replies.is_empty() {
            continue;
        }
        match raft.client_write_ff(batch).await {
            Ok(written) => {
                log.meters().wrote_batch(replies.len());
                tokio::spawn(answer::<M>(written, replies, slot));
            }
            Err(_) => refuse(replies, &stopped(&standing)),
        }
    }
    let _all_answered = slots.acquire_many(IN_FLIGHT as u32).await;
}

type Replies<O> = Vec<oneshot::Sender<Result<O, ProposeError>>>;

/// One batch of what is queued, who waits for it, and the proposal that did not fit any more.
fn gather<O>(
    first: Proposal<O>,
    queue: &mut mpsc::Receiver<Proposal<O>>,
    free: u64,
) -> (Batch, Replies<O>, Option<Proposal<O>>) {
    let (mut gathering, mut replies) = (Gathering::default(), Vec::new());
    let mut next = Some(first);
    while let Some(proposal) = next {
        if proposal.reply.is_closed() {
            // Its caller has been told "unknown" and is gone; leave the rest to a repetition.
        } else if let Err(full) = check_room(free, proposal.reserve) {
            let _ = proposal.reply.send(Err(full));
        } else if gathering.has_room_for(proposal.command.len()) {
            gathering.push(&proposal.command);
            replies.push(proposal.reply);
        } else {
            return (gathering.finish(), replies, Some(proposal));
        }
        next = queue.try_recv().ok();
    }
    (gathering.finish(), replies, None)
}

async fn answer<M: Machine>(
    written: oneshot::Receiver<ClientWriteResult<Types<M>>>,
    replies: Replies<M::Outcome>,
    slot: OwnedSemaphorePermit,
) {
    let written = written.await;
    drop(slot);
    match written {
        Ok(Ok(response)) => {
            for (reply, outcome) in replies.into_iter().zip(response.data.each) {
                // A caller that has given up reads the outcome from the table, or proposes again.
                let _ = reply.send(Ok(outcome));
            }
        }
        Ok(Err(ClientWriteError::ForwardToLeader(ForwardToLeader { leader_id, leader_node }))) => {
            let leader = leader_id.map(|id| (id, leader_node.unwrap_or_default()));
            refuse(replies, &ProposeError::NotLeader { leader });
        }
        // openraft has ended with the entry on its way; the other is said of changes of members only.
        Err(_) | Ok(Err(ClientWriteError::ChangeMembershipError(_))) => {
            refuse(replies, &ProposeError::Unknown);
        }
    }
}

fn refuse<O>(replies: Replies<O>, cause: &ProposeError) {
    for reply in replies {
        let _ = reply.send(Err(cause.clone()));
    }
}
