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
        let mut candidates: Vec<_> = table
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
        prefer_heard(&mut candidates, is_heard);
        let choice = choose(&candidates);
        let Some(taken) = choice.taken else { return Err(choice) };
        let agent = candidates[taken].agent.clone();
        pending.insert(session, Coming { user: user.clone(), agent: agent.clone() });
        drop(pending);
        Ok(Placed { pending: self, session, agent })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Coming>> {
        // One entry is added or removed at a time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes over agents that nobody hears, where another could be taken. The table calls them reachable
/// for a while yet: whoever leads anew gives each its time, also one that fell with the former leader's
/// host.
fn prefer_heard(candidates: &mut [Candidate<'_>], is_heard: impl Fn(&AgentId) -> bool) {
    let is_good = |it: &Candidate<'_>| it.is_reachable && it.offers_profile && is_heard(it.agent);
    if candidates.iter().any(is_good) {
        for candidate in candidates {
            candidate.is_reachable &= is_heard(candidate.agent);
        }
    }
}

impl Drop for Placed<'_> {
    fn drop(&mut self) {
        self.pending.lock().remove(&self.session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_nobody_hears_is_taken_only_where_no_other_can_be() {
        let ids = [1, 2].map(|n| format!("{n:032x}").parse::<AgentId>().unwrap());
        let all = || {
            let of = |(agent, sessions)| Candidate {
                agent,
                weight: 1,
                sessions,
                of_user: 0,
                is_reachable: true,
                offers_profile: true,
            };
            [(&ids[0], 0), (&ids[1], 5)].map(of)
        };
        for (heard, taken) in [(vec![], 0), (vec![0], 0), (vec![1], 1), (vec![0, 1], 0)] {
            let mut candidates = all();
            prefer_heard(&mut candidates, |agent| heard.iter().any(|it| ids[*it] == *agent));
            assert_eq!(choose(&candidates).taken, Some(taken), "heard: {heard:?}");
        }
        let mut candidates = all();
        candidates[1].offers_profile = false;
        prefer_heard(&mut candidates, |agent| *agent == ids[1]);
        assert_eq!(choose(&candidates).taken, Some(0), "the other offers something else");
    }
}
