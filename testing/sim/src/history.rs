//! What outsiders saw: people, and the kernel of each desktop host. The invariants judge by it.

use std::collections::{BTreeMap, BTreeSet};

use abide_model::{Fence, IdempotencyKey, SessionId, UserName};
use abide_pair::Claim;

/// Of one run.
#[derive(Default)]
pub struct History {
    /// What each start that made a session was answered with, and on what claim.
    pub made: BTreeMap<(UserName, IdempotencyKey), BTreeMap<Claim, SessionId>>,
    /// Every session that a start was answered with, and the claims on which it was.
    pub acknowledged: BTreeMap<SessionId, BTreeSet<Claim>>,
    /// Sessions that somebody wanted ended, whether or not that was acknowledged.
    pub asked: BTreeSet<SessionId>,
    /// Sessions whose end was acknowledged, and on what claims.
    pub ended: BTreeMap<SessionId, BTreeSet<Claim>>,
    /// Sessions instead of which another was reserved.
    pub superseded: BTreeSet<SessionId>,
    /// Where each session's keeper was started.
    pub launched: BTreeMap<SessionId, usize>,
    /// On what claim it was.
    pub started_on: BTreeMap<SessionId, Claim>,
    /// Each claim that a takeover began, and the one that it went on from.
    pub claims: BTreeMap<Claim, Claim>,
    /// The highest fence that each agent has obeyed.
    pub obeyed: BTreeMap<usize, Fence>,
    /// How often every broker's disk was lost.
    pub losses: u32,
    /// Sessions that were in a lost table: in the new one only if they live until it is made.
    pub unsure: BTreeSet<SessionId>,
}

impl History {
    /// Every broker's disk is lost: what was promised holds for what lives in some ledger.
    pub fn lose(&mut self, lives: impl Fn(SessionId) -> bool) {
        self.losses += 1;
        self.made.values_mut().for_each(|made| made.retain(|_, session| lives(*session)));
        self.unsure.extend(self.made.values().flat_map(BTreeMap::values));
        self.acknowledged.clear();
        self.ended.clear();
    }

    /// Whether a broker that stands on `claim` must know what was acknowledged on one of these: it went on from
    /// there.
    pub fn must_know(&self, claim: Claim, acknowledged: &BTreeSet<Claim>) -> bool {
        let earlier = std::iter::successors(Some(claim), |claim| self.claims.get(claim).copied());
        earlier.into_iter().any(|claim| acknowledged.contains(&claim))
    }

    /// Whether one of two claims goes on from the other, so that whoever acts on it knows of the other's acts.
    pub fn are_of_one_line(&self, one: Claim, other: Claim) -> bool {
        self.must_know(one, &[other].into()) || self.must_know(other, &[one].into())
    }
}
