//! Placement on the table, on what is on its way into it, and on what is heard of agents.
//!
//! ```text
//! table ────▶ roll: a row for each agent, kept from one placement to the next ─┐
//! hub, hearsay ─▶ signs: who is heard, each one's load; looked at now and then ─┼─▶ candidates ─▶ core/placement
//! coming: what was placed and is not in the table yet ─────────────────────────┘
//! ```
//! Reservations commit some milliseconds after they were placed. Forty starts at once would all see
//! the same table, so each is counted here from when it is placed until it is in the table, and never twice.

mod explain;
mod roll;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use abide_model::{
    AgentId, IdempotencyKey, Profile, ProfileName, SessionId, Table, Timestamp, UserName, Want,
};
use abide_placement::{Verdict, choose};
use abide_policy::{ClusterConfig, Pool};

use crate::replica::Replica;
pub use explain::{Explanation, Line};
use roll::Roll;
pub use roll::{Sign, Told};

/// Placements, and those that may not be in the table yet.
#[derive(Debug, Default)]
pub struct Placing(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    coming: HashMap<SessionId, Coming>,
    roll: Roll,
}

/// A session that was placed.
#[derive(Debug)]
struct Coming {
    user: UserName,
    profile: ProfileName,
    key: IdempotencyKey,
    agent: AgentId,
}

/// A session that is to be placed.
#[derive(Debug)]
pub struct Wish<'a> {
    /// Its id.
    pub session: SessionId,
    /// Whose it is to be.
    pub user: &'a UserName,
    /// Which agents the person is offered; `None`: all.
    pub pool: Option<&'a Pool>,
    /// Which kind of desktop.
    pub profile: &'a ProfileName,
    /// The start's key.
    pub key: &'a IdempotencyKey,
    /// Whether it is one more for its user, and not in the place of another.
    pub counts: Counts<'a>,
}

/// Whether a session is one more for its user.
#[derive(Debug, Clone, Copy)]
pub enum Counts<'a> {
    /// It takes another's place.
    Replaces,
    /// It is one more, unless what is wanted is there already.
    OneMore(&'a Want),
}

/// What the site has decided, and how agents do.
pub struct View<'a, F> {
    /// What the site has decided.
    pub policy: &'a Arc<ClusterConfig>,
    /// What time it is.
    pub now: Timestamp,
    /// What is heard of these agents, in their order. Not asked at every placement.
    pub signs: F,
}

/// One placement; not pending any more when it is dropped.
#[derive(Debug)]
pub struct Placed<'a> {
    placing: &'a Placing,
    session: SessionId,
    /// Where.
    pub agent: AgentId,
}

/// Why a session was not placed.
#[derive(Debug, Clone, PartialEq)]
pub enum Unplaced {
    /// The person has as many as allowed.
    TooMany {
        /// How many they have.
        has: u32,
        /// How many they may have.
        may: u32,
    },
    /// No agent can take it; why, for each.
    NoAgent(Vec<Verdict>),
}

impl Placing {
    /// Chooses an agent for a session and counts it there. `latest` gives the newest table.
    ///
    /// # Errors
    /// Nobody can take it, or the person may not have it.
    pub fn place<'a, F: Fn(&[&AgentId]) -> Vec<Sign>>(
        &'a self,
        latest: impl FnOnce() -> Arc<Replica>,
        wish: &Wish<'_>,
        view: &View<'_, F>,
    ) -> Result<Placed<'a>, Unplaced> {
        let mut state = self.lock();
        let State { coming, roll } = &mut *state;
        // Read under the lock: each placement is either still coming or in this table, and what is
        // both is counted once.
        let replica = latest();
        roll.see(&replica.0, wish, view);
        let others: Vec<_> = not_in(&replica.0, coming).collect();
        check_number(&replica.0, &others, wish, view.policy)?;
        let others = others.iter().map(|it| (&it.agent, it.user == *wish.user));
        let candidates = roll.candidates(wish, others, view.now);
        let Some(taken) = choose(&candidates, &view.policy.pressure) else {
            let verdicts = abide_placement::explain(&candidates, &view.policy.pressure).verdicts;
            return Err(Unplaced::NoAgent(verdicts));
        };
        let agent = candidates[taken].agent.clone();
        drop(candidates);
        let it = Coming {
            user: wish.user.clone(),
            profile: wish.profile.clone(),
            key: wish.key.clone(),
            agent: agent.clone(),
        };
        coming.insert(wish.session, it);
        Ok(Placed { placing: self, session: wish.session, agent })
    }

    /// The kinds of desktop that a pool's agents offer, the default first.
    pub fn profiles(
        &self,
        table: &Table,
        policy: &Arc<ClusterConfig>,
        pool: Option<&Pool>,
    ) -> Arc<[Profile]> {
        let mut state = self.lock();
        state.roll.follow(table, policy);
        state.roll.profiles(pool)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // An entry is added or removed at a time; a roll that was left behind follows the next table.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is not in the table yet.
fn not_in<'a>(
    table: &Table,
    coming: &'a HashMap<SessionId, Coming>,
) -> impl Iterator<Item = &'a Coming> {
    coming.iter().filter(|(id, _)| table.session(**id).is_none()).map(|(_, it)| it)
}

/// Whether the person may have one more session. One that is being ended does not count: who ends a session
/// may start another at once.
fn check_number(
    table: &Table,
    coming: &[&Coming],
    wish: &Wish<'_>,
    policy: &ClusterConfig,
) -> Result<(), Unplaced> {
    let (Counts::OneMore(want), Some(may)) = (wish.counts, policy.most_of_user(wish.pool)) else {
        return Ok(());
    };
    let user = wish.user;
    let mine = coming.iter().filter(|it| it.user == *user);
    // Then the commit finds the one that is there: it is not one more.
    let goes_back = match want {
        Want::ResumeOrStart { profile } => {
            let fits = |it: &&Coming| profile.as_ref().is_none_or(|wanted| *wanted == it.profile);
            table.resumable(user, want).is_some() || mine.clone().any(fits)
        }
        Want::Start => false,
    };
    if goes_back || mine.clone().any(|it| it.key == *wish.key) {
        return Ok(());
    }
    let there = table.sessions_of(user).filter(|it| it.state.is_resumable()).count();
    let has = u32::try_from(there + mine.count()).unwrap_or(u32::MAX);
    if has < may { Ok(()) } else { Err(Unplaced::TooMany { has, may }) }
}

impl Drop for Placed<'_> {
    fn drop(&mut self) {
        self.placing.lock().coming.remove(&self.session);
    }
}

#[cfg(test)]
mod tests;
