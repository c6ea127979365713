//! Placement on the table and on what is on its way into it.
//!
//! Reservations commit some milliseconds after they were placed. Forty starts at once would all see
//! the same table, so each is counted here from when it is placed until it is in the table.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use abide_model::{AgentId, ProfileName, Reach, Table, UserName};
use abide_placement::{Candidate, Choice, choose};

/// Placements that are not in the table yet.
#[derive(Debug, Default)]
pub struct Pending(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    by_agent: HashMap<AgentId, u32>,
    by_user: HashMap<(UserName, AgentId), u32>,
}

/// One placement; gone from the counts when it is dropped.
#[derive(Debug)]
pub struct Placed<'a> {
    pending: &'a Pending,
    user: UserName,
    /// Where.
    pub agent: AgentId,
}

impl Pending {
    /// Chooses an agent and counts it there; `Err` says why none can take the session.
    ///
    /// # Errors
    /// The choice that took nobody.
    pub fn place<'a>(
        &'a self,
        table: &Table,
        user: &UserName,
        profile: &ProfileName,
    ) -> Result<Placed<'a>, Choice> {
        let mut counts = self.lock();
        let mut of_user: HashMap<&AgentId, u32> = HashMap::new();
        for session in table.sessions_of(user).filter(|it| it.state.is_live()) {
            *of_user.entry(&session.agent).or_default() += 1;
        }
        let candidates: Vec<_> = table
            .agents()
            .map(|agent| {
                let facts = agent.facts.as_deref();
                let coming = counts.by_agent.get(&agent.id).copied().unwrap_or(0);
                let theirs = counts.by_user.get(&(user.clone(), agent.id.clone())).copied();
                Candidate {
                    agent: &agent.id,
                    weight: facts.map_or(1, |facts| facts.weight),
                    sessions: agent.live + coming,
                    of_user: of_user.get(&agent.id).copied().unwrap_or(0) + theirs.unwrap_or(0),
                    is_reachable: agent.reach == Reach::Reachable,
                    offers_profile: facts
                        .is_some_and(|facts| facts.profiles.iter().any(|it| it.name == *profile)),
                }
            })
            .collect();
        let choice = choose(&candidates);
        let Some(taken) = choice.taken else { return Err(choice) };
        let agent = candidates[taken].agent.clone();
        *counts.by_agent.entry(agent.clone()).or_default() += 1;
        *counts.by_user.entry((user.clone(), agent.clone())).or_default() += 1;
        drop(counts);
        Ok(Placed { pending: self, user: user.clone(), agent })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Counts are changed one entry at a time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Placed<'_> {
    fn drop(&mut self) {
        let mut counts = self.pending.lock();
        take_one(&mut counts.by_agent, &self.agent);
        take_one(&mut counts.by_user, &(self.user.clone(), self.agent.clone()));
    }
}

fn take_one<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
