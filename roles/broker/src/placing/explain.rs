//! Where a session would go, and why, without placing it.

use std::sync::Arc;

use abide_model::{Agent, AgentId};
use abide_placement::{Verdict, explain};

use super::{Placing, Sign, State, Told, Unplaced, View, Wish, check_number, not_in};
use crate::replica::Replica;

/// Where a session would go, and why.
#[derive(Debug)]
pub struct Explanation {
    /// Who would get it; `None`: nobody.
    pub taken: Option<AgentId>,
    /// Why the person would not get it, though an agent could take it.
    pub too_many: Option<Unplaced>,
    /// Each agent, by id.
    pub lines: Vec<Line>,
}

/// One agent.
#[derive(Debug)]
pub struct Line {
    /// The agent.
    pub agent: Arc<Agent>,
    /// What it counts for.
    pub weight: u32,
    /// Its sessions and reservations, with those that are not in the table yet.
    pub sessions: u32,
    /// How many it takes at most.
    pub most: Option<u32>,
    /// What it told of its host.
    pub told: Option<Told>,
    /// Whether it is taken, and why.
    pub verdict: Verdict,
}

impl Placing {
    /// Says what [`Placing::place`] would do now.
    pub fn explain<F: Fn(&[&AgentId]) -> Vec<Sign>>(
        &self,
        latest: impl FnOnce() -> Arc<Replica>,
        wish: &Wish<'_>,
        view: &View<'_, F>,
    ) -> Explanation {
        let mut state = self.lock();
        let State { coming, roll } = &mut *state;
        let replica = latest();
        roll.see(&replica.0, wish, view);
        let others: Vec<_> = not_in(&replica.0, coming).collect();
        let too_many = check_number(&replica.0, &others, wish, view.policy).err();
        let others = others.iter().map(|it| (&it.agent, it.user == *wish.user));
        let candidates = roll.candidates(wish, others, view.now);
        let explained = explain(&candidates, &view.policy.pressure);
        let taken = explained.taken.map(|at| candidates[at].agent.clone());
        let lines = roll.agents().zip(&candidates).zip(explained.verdicts);
        let lines = lines.map(|(((agent, weight, told), candidate), verdict)| Line {
            agent: Arc::clone(agent),
            weight,
            sessions: candidate.sessions,
            most: candidate.most,
            told,
            verdict,
        });
        Explanation { taken, too_many, lines: lines.collect() }
    }
}
