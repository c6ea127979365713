//! Which agent gets the next session, and why.
//!
//! A pure function over the candidates. The order of preference:
//! 1. agents that can be heard and offer the profile; no others;
//! 2. among those, agents that already have sessions of the same user: all of one user's sessions
//!    together where possible;
//! 3. the fewest sessions, coming ones included, for its weight;
//! 4. the lower id, so that the choice is the same everywhere.
#![forbid(unsafe_code)]

use std::cmp::Ordering;

use abide_model::AgentId;

/// One agent as placement sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Which.
    pub agent: &'a AgentId,
    /// Its share against the others'; 0 counts as 1.
    pub weight: u32,
    /// Sessions that run, start or end there, and reservations, including those still on their way
    /// into the table.
    pub sessions: u32,
    /// How many of these are the same user's.
    pub of_user: u32,
    /// Whether it is heard.
    pub is_reachable: bool,
    /// Whether it offers the profile.
    pub offers_profile: bool,
}

/// Why an agent was taken, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It gets the session: other sessions of the user are there.
    TakenForItsUser,
    /// It gets the session: it has the fewest for its weight.
    TakenForItsLoad,
    /// It is not heard.
    Unreachable,
    /// It does not offer the profile.
    NoSuchProfile,
    /// The user's other sessions are elsewhere.
    UserElsewhere,
    /// Another has fewer sessions for its weight, or as few and a lower id.
    MoreLoaded,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The agent that gets the session, by its place among the candidates; `None` if none can.
    pub taken: Option<usize>,
    /// One for each candidate, in their order.
    pub verdicts: Vec<Verdict>,
}

/// Chooses.
pub fn choose(candidates: &[Candidate<'_>]) -> Choice {
    let taken = (0..candidates.len())
        .filter(|&at| candidates[at].can_take())
        .min_by(|&a, &b| preference(&candidates[a], &candidates[b]));
    let together = taken.is_some_and(|at| candidates[at].of_user > 0);
    let verdicts = candidates
        .iter()
        .enumerate()
        .map(|(at, candidate)| match candidate {
            _ if taken == Some(at) && together => Verdict::TakenForItsUser,
            _ if taken == Some(at) => Verdict::TakenForItsLoad,
            it if !it.is_reachable => Verdict::Unreachable,
            it if !it.offers_profile => Verdict::NoSuchProfile,
            it if together && it.of_user == 0 => Verdict::UserElsewhere,
            _ => Verdict::MoreLoaded,
        })
        .collect();
    Choice { taken, verdicts }
}

impl Candidate<'_> {
    fn can_take(&self) -> bool {
        self.is_reachable && self.offers_profile
    }

    fn weight(&self) -> u64 {
        u64::from(self.weight.max(1))
    }
}

fn preference(a: &Candidate<'_>, b: &Candidate<'_>) -> Ordering {
    let together = (b.of_user > 0).cmp(&(a.of_user > 0));
    // a.sessions / a.weight against b.sessions / b.weight, without rounding.
    let load = (u64::from(a.sessions) * b.weight()).cmp(&(u64::from(b.sessions) * a.weight()));
    together.then(load).then_with(|| a.agent.cmp(b.agent))
}

#[cfg(test)]
mod tests;
