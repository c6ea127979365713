//! Placement on the table and on what is on its way into it.
//!
//! Reservations commit some milliseconds after they were placed. Forty starts at once would all see
//! the same table, so each is counted here from when it is placed until it is in the table, and never twice.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use abide_model::{AgentFacts, AgentId, ProfileName, Reach, SessionId, UserName};
use abide_placement::{Candidate, Choice, choose};
use abide_raft::Raft;

use crate::replica::Replica;

/// Placements that may not be in the table yet.
#[derive(Debug, Default)]
pub struct Pending(Mutex<HashMap<SessionId, Coming>>);

/// A session that was placed.
#[derive(Debug)]
struct Coming {
    user: UserName,
    agent: AgentId,
}

/// One placement; not pending any more when it is dropped.
#[derive(Debug)]
pub struct Placed<'a> {
    pending: &'a Pending,
    session: SessionId,
    /// Where.
    pub agent: AgentId,
}

impl Pending {
    /// Chooses an agent for a session of this id and counts it there; `Err` says why none can take it.
    /// Those that `is_heard` knows to speak come first: whoever leads anew gives silent ones their time
    /// before they are unreachable, and nobody has to wait for that where another can take it.
    ///
    /// # Errors
    /// The choice that took nobody.
    pub fn place<'a>(
        &'a self,
        raft: &Raft<Replica>,
        session: SessionId,
        user: &UserName,
        profile: &ProfileName,
        is_heard: impl Fn(&AgentId) -> bool,
    ) -> Result<Placed<'a>, Choice> {
        let mut pending = self.lock();
        // Read under the lock: each placement is either still pending or in this table, and what is
        // both is counted once.
        let replica = raft.latest();
        let table = &replica.0;
        let (mut coming, mut of_user) = (HashMap::new(), HashMap::new());
        for (_, it) in pending.iter().filter(|(id, _)| table.session(**id).is_none()) {
            *coming.entry(&it.agent).or_default() += 1;
            *of_user.entry(&it.agent).or_default() += u32::from(it.user == *user);
        }
        for session in table.sessions_of(user).filter(|it| it.state.is_live()) {
            *of_user.entry(&session.agent).or_default() += 1;
        }
        let candidates: Vec<_> = table
            .agents()
            .map(|agent| {
                let facts = agent.facts.as_deref();
                let offers =
                    |facts: &AgentFacts| facts.profiles.iter().any(|it| it.name == *profile);
                let coming: u32 = coming.get(&agent.id).copied().unwrap_or(0);
                Candidate {
                    agent: &agent.id,
                    weight: facts.map_or(1, |facts| facts.weight),
                    sessions: agent.live + coming,
                    of_user: of_user.get(&agent.id).copied().unwrap_or(0),
                    is_reachable: agent.reach == Reach::Reachable,
                    offers_profile: facts.is_some_and(offers),
                }
            })
            .collect();
        let heard: Vec<_> = candidates.iter().filter(|it| is_heard(it.agent)).cloned().collect();
        let agent = match choose(&heard).taken {
            Some(taken) => heard[taken].agent.clone(),
            None => {
                let choice = choose(&candidates);
                let Some(taken) = choice.taken else { return Err(choice) };
                candidates[taken].agent.clone()
            }
        };
        pending.insert(session, Coming { user: user.clone(), agent: agent.clone() });
        drop(pending);
        Ok(Placed { pending: self, session, agent })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Coming>> {
        // One entry is added or removed at a time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Placed<'_> {
    fn drop(&mut self) {
        self.pending.lock().remove(&self.session);
    }
}
