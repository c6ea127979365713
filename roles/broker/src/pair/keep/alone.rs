//! Going on alone: the agents promise first, then the engine takes over.
//!
//! ```text
//! the claim is noted ─▶ agents promise to obey it ─▶ io/raft: take_over ─▶ whoever waits is answered
//!                             └─ too few: nothing has happened; tried again, with the same claim
//! ```

use std::time::Duration;

use abide_model::{Change, Command, Fence};
use abide_pair::{Claim, Decision, Forced, Mine, View, decide};
use abide_raft::NodeId;
use tokio::time::sleep;
use tracing::{error, warn};

use super::{EVIDENCE, Keeper, YIELD};
use crate::broker::Broker;
use crate::pair::mark::Mark;
use crate::stream::chain;

impl Keeper {
    /// Goes on alone, unless somebody was heard meanwhile who speaks against it, or too few agents promise to
    /// obey what begins.
    pub(super) async fn force(&mut self, told: usize) {
        let broker = self.broker.clone();
        let view = self.view(told);
        let _silent = (view.promises() > 0).then(|| broker.pair.go_on());
        // Whoever was told until now that this node stands where it did has been heard.
        let view = self.view(told);
        let Decision::Force(forced) = decide(&view) else { return };
        let claim = self.next_claim(&view);
        if !self.is_promised(claim, forced, &view).await {
            return;
        }
        warn!(?forced, generation = claim.generation, "Going on alone: a new generation begins");
        let first = match forced {
            Forced::Recovery => {
                let at = broker.clock.certain().await;
                let change = Change::DoubtTable { generation: claim.generation };
                Some(Command { at, change })
            }
            Forced::Proven(_) | Forced::Silent => None,
        };
        match broker.raft.take_over(broker.as_peer(), raft_claim(claim), first).await {
            Ok(()) => {
                broker.pair.change(|record| {
                    (record.retired, record.peer_retired) = (None, None);
                    record.intended = None;
                });
                self.silent = Duration::ZERO;
                self.accepts_stale = None;
            }
            // The broker ends of it.
            Err(cause) => {
                let cause: &dyn std::error::Error = &cause;
                error!(cause, "The takeover failed");
            }
        }
    }

    /// Above all that is known; again the one that agents may have promised to obey, if there is one.
    fn next_claim(&self, view: &View) -> Claim {
        let raft = &self.broker.raft;
        let known = [Some(view.mine.claim), view.peer.claim, Some(view.agents.claim)];
        let above = known.iter().flatten().map(|claim| claim.generation).max().unwrap_or(0);
        let above = above.max(raft.claim().generation);
        let intended = self.broker.pair.record().intended.map(Mark::claim);
        intended.filter(|claim| claim.generation > above).unwrap_or_else(|| {
            let claim = raft.next_claim(above);
            Claim { generation: claim.generation, claimant: claim.claimant.0 }
        })
    }

    /// Whether as many agents as must be have promised to obey that claim; durable, so that the peer will hear
    /// of it from them whatever becomes of this node.
    async fn is_promised(&self, claim: Claim, forced: Forced, view: &View) -> bool {
        let given_up = view.order.is_some_and(|order| order.accept_stale);
        let enough = view.promises();
        if enough == 0 || given_up || forced == Forced::Recovery {
            return true;
        }
        self.broker.pair.change(|record| record.intended = Some(Mark::beginning(claim)));
        let Mine { claim: Claim { generation, claimant }, term, .. } = view.mine;
        let known = Fence { generation, claimant, term, leader: u64::MAX };
        let promised = self.broker.hub.have_promised(claim, known, enough, EVIDENCE).await;
        if promised < enough {
            warn!(promised, enough, "Too few agents promise to obey this node alone");
        }
        promised >= enough
    }

    /// Agents may have promised to obey a claim that nobody stands on: the group goes above it. Committed by
    /// both, that is proof that neither has gone on alone.
    pub(super) fn give_up_claim(&mut self, intended: Claim) {
        if self.broker.claim() >= intended {
            return self.broker.pair.change(|record| record.intended = None);
        }
        if self.raising.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let broker = self.broker.clone();
        self.raising = Some(tokio::spawn(async move {
            let to = intended.generation + 1;
            match broker.propose(Change::RaiseGeneration { to }).await {
                Ok(_) => warn!(generation = to, "Gone above a takeover that did not come about"),
                Err(cause) => {
                    warn!(cause = chain(&cause), "The generation cannot be raised yet");
                    sleep(YIELD).await;
                }
            }
        }));
    }
}

fn raft_claim(claim: Claim) -> abide_raft::Claim {
    abide_raft::Claim { generation: claim.generation, claimant: NodeId(claim.claimant) }
}

/// Goes above what an agent has seen of what a person has given up; whether that is done.
pub(crate) async fn outbid(broker: &Broker, seen: u64) -> bool {
    let claim = broker.raft.next_claim(seen);
    match broker.raft.take_over(broker.as_peer(), claim, None).await {
        Ok(()) => {
            warn!(generation = claim.generation, "An agent knew of a later generation");
            true
        }
        Err(cause) => {
            let cause: &dyn std::error::Error = &cause;
            error!(cause, "The takeover failed");
            false
        }
    }
}
