//! The choice itself.

use std::cmp::Ordering;

use abide_policy::PressureLimits;

use crate::{Candidate, Favour};

/// The agent that gets the session, by its place among the candidates; `None` if none can.
pub fn choose(candidates: &[Candidate<'_>], limits: &PressureLimits) -> Option<usize> {
    let field = Field::of(candidates, limits)?;
    let runners = candidates.iter().enumerate().filter(|(_, it)| field.has(it, limits));
    let due = runners.filter(|(_, it)| !field.has_share(it));
    due.min_by(|(_, a), (_, b)| preference(a, b)).map(|(at, _)| at)
}

/// Those among whom the weights decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    pub favour: Favour,
    /// They have sessions of the same person, and others that could take it do not.
    pub together: bool,
    /// All their weights.
    weights: u64,
    /// All their sessions, the new one counted.
    sessions: u64,
}

impl Field {
    /// `None` if nobody can take the session.
    pub fn of(candidates: &[Candidate<'_>], limits: &PressureLimits) -> Option<Self> {
        let mut best: Option<Self> = None;
        for it in candidates.iter().filter(|it| it.can_take()) {
            let favour = it.favour(limits);
            let together = keeps_together(it, favour);
            let field = best.get_or_insert(Self { favour, together, weights: 0, sessions: 1 });
            match (favour, !together).cmp(&(field.favour, !field.together)) {
                Ordering::Greater => continue,
                Ordering::Less => *field = Self { favour, together, weights: 0, sessions: 1 },
                Ordering::Equal => {}
            }
            field.weights += u64::from(it.weight());
            field.sessions += u64::from(it.sessions);
        }
        best
    }

    /// Whether the candidate is one of them.
    pub fn has(&self, it: &Candidate<'_>, limits: &PressureLimits) -> bool {
        it.can_take()
            && it.favour(limits) == self.favour
            && keeps_together(it, self.favour) == self.together
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

/// Whether a person's sessions draw the next one there. Not to a host that has enough already.
fn keeps_together(it: &Candidate<'_>, favour: Favour) -> bool {
    it.of_user > 0 && favour != Favour::Pressed
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
