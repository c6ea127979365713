//! The choice itself.

use std::cmp::Ordering;

use abide_policy::PressureLimits;

use crate::{Candidate, Favour};

/// The agent that gets the session, by its place among the candidates; `None` if none can.
pub fn choose(candidates: &[Candidate<'_>], limits: &PressureLimits) -> Option<usize> {
    let ranks = ranks(candidates, limits);
    let field = Field::of(candidates, &ranks)?;
    let all = candidates.iter().zip(ranks).enumerate();
    let runners = all.filter(|(_, (_, rank))| *rank == Some(field.rank));
    let due = runners.filter(|(_, (it, _))| !field.has_share(it));
    due.min_by(|(_, (a, _)), (_, (b, _))| preference(a, b)).map(|(at, _)| at)
}

/// What counts before the weights; the least is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub favour: Favour,
    /// No sessions of the same person draw this one there.
    pub apart: bool,
}

impl Rank {
    /// `None` if it cannot take the session.
    pub fn of(it: &Candidate<'_>, limits: &PressureLimits) -> Option<Self> {
        let favour = it.can_take().then(|| it.favour(limits))?;
        Some(Self { favour, apart: it.of_user == 0 })
    }
}

fn ranks(candidates: &[Candidate<'_>], limits: &PressureLimits) -> Vec<Option<Rank>> {
    candidates.iter().map(|it| Rank::of(it, limits)).collect()
}

/// Those of the best rank: among them the weights decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    pub rank: Rank,
    /// All their weights.
    weights: u64,
    /// All their sessions, the new one counted.
    sessions: u64,
}

impl Field {
    /// `None` if nobody can take the session.
    pub fn among(candidates: &[Candidate<'_>], limits: &PressureLimits) -> Option<Self> {
        Self::of(candidates, &ranks(candidates, limits))
    }

    fn of(candidates: &[Candidate<'_>], ranks: &[Option<Rank>]) -> Option<Self> {
        let rank = ranks.iter().flatten().min().copied()?;
        let mut field = Self { rank, weights: 0, sessions: 1 };
        for (it, _) in candidates.iter().zip(ranks).filter(|(_, it)| **it == Some(rank)) {
            field.weights += u64::from(it.weight());
            field.sessions += u64::from(it.sessions);
        }
        Some(field)
    }

    /// Whether one of them has what its weight is worth already.
    pub fn has_share(&self, it: &Candidate<'_>) -> bool {
        product(it.sessions.into(), self.weights) >= product(it.weight().into(), self.sessions)
    }

    /// What the weight of one of them is worth, sessions.
    pub fn share(&self, it: &Candidate<'_>) -> f64 {
        f64::from(it.weight()) * self.sessions as f64 / self.weights as f64
    }
}

/// The fewest sessions for its weight, with the new one; without rounding.
fn preference(a: &Candidate<'_>, b: &Candidate<'_>) -> Ordering {
    let after = |it: &Candidate<'_>| u64::from(it.sessions) + 1;
    let (here, there) =
        (product(after(a), b.weight().into()), product(after(b), a.weight().into()));
    here.cmp(&there).then_with(|| a.agent.cmp(b.agent))
}

/// Cannot overflow.
fn product(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}
