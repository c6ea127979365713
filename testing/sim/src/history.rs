//! What outsiders saw: people, and the kernel of each desktop host. The invariants judge by it.

use std::collections::{BTreeMap, BTreeSet};

use abide_model::{Fence, IdempotencyKey, SessionId, UserName};

/// Of one run.
#[derive(Default)]
pub struct History {
    /// What each start that made a session was answered with.
    pub made: BTreeMap<(UserName, IdempotencyKey), SessionId>,
    /// Every session that a start was answered with.
    pub acknowledged: BTreeSet<SessionId>,
    /// Sessions that somebody wanted ended, whether or not that was acknowledged.
    pub asked: BTreeSet<SessionId>,
    /// Sessions whose end was acknowledged.
    pub ended: BTreeSet<SessionId>,
    /// Sessions instead of which another was reserved.
    pub superseded: BTreeSet<SessionId>,
    /// Where each session's keeper was started.
    pub launched: BTreeMap<SessionId, usize>,
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
        self.made.retain(|_, session| lives(*session));
        self.unsure.extend(self.made.values());
        self.acknowledged.clear();
        self.ended.clear();
    }
}
