//! A forced takeover: this node goes on alone, in a new generation, from all that its disk has.
//!
//! One transaction makes it another node (so that what it promised under its old id binds it no more),
//! gives it a ballot that a majority is said to have granted, and ends the log with members that are itself
//! alone. openraft starts on that as the leader, without an election, and commits what the log holds.
//!
//! Whether that may be is for the caller to decide. What was acknowledged is on both voters' disks.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;
use tracing::{info, warn};

use crate::batch::Gathering;
use crate::error::{AdoptError, Fault, TakeOverError};
use crate::ids::{Ballot, Claim, Members, NodeId, Peer, Position};
use crate::machine::Machine;
use crate::raft::Raft;
use crate::record::{Body, Record};
use crate::state::State;
use crate::store::{Identity, TakeOver};

impl<M: Machine> Raft<M> {
    /// What this node would claim to go on alone, in the generation after `above` and its own: nobody else
    /// ever draws the same.
    pub fn next_claim(&self, above: u64) -> Claim {
        let generation = above.max(self.claim().generation) + 1;
        Claim { generation, claimant: NodeId::random() }
    }

    /// Begins the generation of `claim`, one of [`next_claim`](Self::next_claim), of which this node, `me`, is
    /// the only voter, under the claimant's id; with `first` as its first change. Requests that wait
    /// meanwhile are answered in it.
    ///
    /// # Errors
    /// [`TakeOverError`]; unless it had stopped already, or stands on no lower claim, the engine has stopped
    /// then, and a restart finds either all of the takeover or nothing of it.
    pub async fn take_over(
        &self,
        me: Peer,
        claim: Claim,
        first: Option<M::Command>,
    ) -> Result<(), TakeOverError> {
        let this = self.clone();
        // Not to be left half done by whoever does not wait any more.
        let done = tokio::spawn(async move { this.take_over_now(me, claim, first).await }).await;
        done.unwrap_or(Err(TakeOverError::Failed(Fault::Panicked)))
    }

    async fn take_over_now(
        &self,
        me: Peer,
        claim: Claim,
        first: Option<M::Command>,
    ) -> Result<(), TakeOverError> {
        let began = Instant::now();
        let parts = self.parts();
        let first = first.map(|first| self.latest().encode(&first)).transpose()?;
        let mut running = self.running().await;
        if claim.generation <= parts.me.claim().generation {
            return Err(TakeOverError::NotHigher);
        }
        let Some(old) = running.take() else { return Err(TakeOverError::Stopped) };
        let life = self.lives().end();
        old.told.pause(parts.me.node());
        let (told, applied) = old.give_way(&life).await;
        drop(life);
        let begun = async {
            if !applied {
                return Err(Fault::Panicked);
            }
            let state = *parts.published.applied().borrow();
            parts.log.reach(state).await.map_err(Fault::Store)?;
            let take_over = self.plan(me, claim, first.as_deref());
            parts.log.take_over(take_over.clone()).await.map_err(Fault::Store)?;
            parts.me.set(take_over.identity);
            let state = State::resume(parts.published.clone(), parts.snapshots.clone());
            let life = parts.begin(state, told.clone()).await;
            let life = life.map_err(|cause| Fault::Storage(cause.to_string()))?;
            Ok(life)
        };
        match begun.await {
            Ok((life, mut new)) => {
                parts.decide(&life, &mut new);
                *running = Some(new);
                self.lives().begin(life);
                let generation = claim.generation;
                warn!(generation, took = ?began.elapsed(), "Took over: a new generation begins");
                Ok(())
            }
            Err(fault) => {
                told.fail(fault.clone());
                Err(TakeOverError::Failed(fault))
            }
        }
    }

    fn plan(&self, me: Peer, claim: Claim, first: Option<&[u8]>) -> TakeOver {
        let parts = self.parts();
        let (last, ballot) = (parts.log.last(), parts.log.ballot());
        let node = claim.claimant;
        let term = last.map_or(0, |at| at.term).max(ballot.map_or(0, |it| it.term)) + 1;
        let index = last.map_or(0, |last| last.index + 1);
        let at = |index| Position { term, leader: node, index };
        let members =
            Members { voters: vec![BTreeSet::from([node])], nodes: BTreeMap::from([(node, me)]) };
        let mut records = vec![Record { position: at(index), body: Body::Members(members) }];
        if let Some(first) = first {
            let mut batch = Gathering::default();
            batch.push(first);
            let body = Body::Commands(batch.finish().0);
            records.push(Record { position: at(index + 1), body });
        }
        TakeOver {
            identity: Identity { cluster: parts.me.cluster, node, claim },
            ballot: Ballot { term, node, committed: true },
            records,
        }
    }

    /// Whether nothing was ever written here.
    pub fn is_pristine(&self) -> bool {
        self.parts().log.is_pristine()
    }

    /// Takes on the claim of a group that this node is to be taken into. Durable when it returns.
    ///
    /// # Errors
    /// [`AdoptError`]: something was written here under another claim.
    pub async fn adopt_claim(&self, claim: Claim) -> Result<(), AdoptError> {
        let parts = self.parts();
        if parts.me.claim() == claim {
            return Ok(());
        }
        if !self.is_pristine() {
            return Err(AdoptError::NotPristine);
        }
        let identity = parts.me.with_claim(claim);
        parts.log.set_identity(identity).await?;
        parts.me.set(identity);
        info!(generation = claim.generation, "Joining a later generation");
        Ok(())
    }
}
