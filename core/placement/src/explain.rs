//! The choice in words.

use std::fmt;
use std::time::Duration;

use abide_model::Label;
use abide_policy::PressureLimits;

use crate::choose::{Field, Rank};
use crate::{Candidate, Favour, Hearing, Load, Pressure, choose};

/// What was chosen, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// The agent that gets the session, by its place among the candidates; `None` if none can.
    pub taken: Option<usize>,
    /// One for each candidate, in their order.
    pub verdicts: Vec<Verdict>,
}

/// Why an agent is taken, or not. The first that is true, from the top.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It gets the session.
    Taken {
        /// Why.
        ground: Ground,
        /// What speaks against it, for want of a better one.
        favour: Favour,
    },
    /// It is of another pool.
    OutOfPool,
    /// It takes no new sessions.
    Drained,
    /// No broker hears it.
    Unreachable,
    /// It does not offer the profile.
    NoSuchProfile,
    /// It lacks what the profile requires.
    LabelsMissing(Vec<Label>),
    /// It has as many sessions as it takes.
    Full {
        /// How many it takes.
        most: u32,
        /// How many it has.
        sessions: u32,
    },
    /// It is not heard just now, and another is.
    Quiet,
    /// Its load is not known, and another's is.
    StaleLoad {
        /// How old what it told last is, if it told anything.
        age: Option<Duration>,
    },
    /// It is under pressure, and another is not.
    UnderPressure(Pressure),
    /// It failed a start, and another did not.
    FailedStart {
        /// How long ago.
        ago: Duration,
    },
    /// The person's other sessions are elsewhere.
    UserElsewhere,
    /// It has what its weight is worth.
    HasItsShare {
        /// Its sessions.
        sessions: u32,
        /// What its weight is worth, sessions.
        share: f64,
    },
    /// Another has fewer sessions for its weight, or as few and a lower id.
    MoreLoaded {
        /// What it would have for each unit of its weight, sessions.
        would_have: f64,
        /// What the one that is taken will have.
        taken_has: f64,
    },
}

/// Why an agent was taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ground {
    /// The person's other sessions are there.
    ItsUser {
        /// How many.
        of_user: u32,
    },
    /// It is the only one that can.
    Alone,
    /// It has the fewest sessions for its weight.
    ItsLoad {
        /// What it will have for each unit of its weight, sessions.
        will_have: f64,
        /// What its weight is worth, sessions.
        share: f64,
    },
}

/// Chooses as [`choose`] does, and says of each candidate why.
pub fn explain(candidates: &[Candidate<'_>], limits: &PressureLimits) -> Explained {
    let taken = choose(candidates, limits);
    let context = taken.zip(Field::among(candidates, limits));
    let verdict = |(at, it): (usize, &Candidate<'_>)| match context {
        Some((taken, field)) if taken == at => {
            let able = candidates.iter().filter(|it| it.can_take()).count();
            Verdict::Taken { ground: ground(it, &field, able), favour: field.rank.favour }
        }
        Some((taken, field)) => barred(it)
            .or_else(|| out_of_favour(it, &field, limits))
            .unwrap_or_else(|| outdone(it, &candidates[taken], &field, limits)),
        // Nobody could take it: something bars each.
        None => barred(it).unwrap_or(Verdict::Unreachable),
    };
    let verdicts = candidates.iter().enumerate().map(verdict).collect();
    Explained { taken, verdicts }
}

/// Why it cannot take the session at all.
fn barred(it: &Candidate<'_>) -> Option<Verdict> {
    if !it.in_pool {
        Some(Verdict::OutOfPool)
    } else if it.is_drained {
        Some(Verdict::Drained)
    } else if it.hearing == Hearing::Unreachable {
        Some(Verdict::Unreachable)
    } else if !it.offers_profile {
        Some(Verdict::NoSuchProfile)
    } else if !it.missing.is_empty() {
        Some(Verdict::LabelsMissing(it.missing.to_vec()))
    } else {
        let most = it.most.filter(|_| it.is_full())?;
        Some(Verdict::Full { most, sessions: it.sessions })
    }
}

/// Why it is less in favour than those among whom the weights decide.
fn out_of_favour(it: &Candidate<'_>, field: &Field, limits: &PressureLimits) -> Option<Verdict> {
    let favour = it.favour(limits);
    if favour == field.rank.favour {
        return None;
    }
    let pressure = |load: Load| load.pressure(limits);
    match favour {
        Favour::Good => None,
        Favour::FailedStart => it.failed_lately(limits).map(|ago| Verdict::FailedStart { ago }),
        Favour::Pressed => it.fresh_load().and_then(pressure).map(Verdict::UnderPressure),
        Favour::Stale => Some(Verdict::StaleLoad { age: it.load.map(|load| load.age) }),
        Favour::Quiet => Some(Verdict::Quiet),
    }
}

/// Why another is taken that is as much in favour.
fn outdone(
    it: &Candidate<'_>,
    taken: &Candidate<'_>,
    field: &Field,
    limits: &PressureLimits,
) -> Verdict {
    if Rank::of(it, limits) != Some(field.rank) {
        Verdict::UserElsewhere
    } else if field.has_share(it) {
        Verdict::HasItsShare { sessions: it.sessions, share: field.share(it) }
    } else {
        Verdict::MoreLoaded { would_have: with_one_more(it), taken_has: with_one_more(taken) }
    }
}

fn ground(it: &Candidate<'_>, field: &Field, able: usize) -> Ground {
    match field.rank.apart {
        false => Ground::ItsUser { of_user: it.of_user },
        true if able == 1 => Ground::Alone,
        true => Ground::ItsLoad { will_have: with_one_more(it), share: field.share(it) },
    }
}

/// Sessions for each unit of weight, with the new one.
fn with_one_more(it: &Candidate<'_>) -> f64 {
    (f64::from(it.sessions) + 1.0) / f64::from(it.weight())
}

impl Verdict {
    /// What kind it is, for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Taken { .. } => "taken",
            Self::OutOfPool => "out-of-pool",
            Self::Drained => "drained",
            Self::Unreachable => "unreachable",
            Self::NoSuchProfile => "no-such-profile",
            Self::LabelsMissing(_) => "labels-missing",
            Self::Full { .. } => "full",
            Self::Quiet => "quiet",
            Self::StaleLoad { .. } => "stale-load",
            Self::UnderPressure(_) => "under-pressure",
            Self::FailedStart { .. } => "failed-start",
            Self::UserElsewhere => "user-elsewhere",
            Self::HasItsShare { .. } => "has-its-share",
            Self::MoreLoaded { .. } => "more-loaded",
        }
    }

    /// Whether it could take the session if the others were not there.
    pub fn is_able(&self) -> bool {
        !matches!(
            self,
            Self::OutOfPool
                | Self::Drained
                | Self::Unreachable
                | Self::NoSuchProfile
                | Self::LabelsMissing(_)
                | Self::Full { .. }
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { ground, favour } => write!(f, "{ground}{}", though(*favour)),
            Self::OutOfPool => f.write_str("it does not belong to the person's pool"),
            Self::Drained => f.write_str("it is being drained: it takes no new sessions"),
            Self::Unreachable => f.write_str("no broker hears it"),
            Self::NoSuchProfile => f.write_str("it does not offer the profile"),
            Self::LabelsMissing(labels) => {
                let labels: Vec<_> = labels.iter().map(Label::as_str).collect();
                write!(f, "the profile requires what it does not have: {}", labels.join(", "))
            }
            Self::Full { most, sessions } => {
                write!(f, "it has {} and takes {most} at most", counted(*sessions))
            }
            Self::Quiet => f.write_str("it has not been heard for a moment, and others have"),
            Self::StaleLoad { age: None } => f.write_str("it has not told its load yet"),
            Self::StaleLoad { age: Some(age) } => {
                write!(f, "it told its load {} s ago, others later", age.as_secs())
            }
            Self::UnderPressure(pressure) => pressure.fmt(f),
            Self::FailedStart { ago } => write!(f, "a start failed there {} s ago", ago.as_secs()),
            Self::UserElsewhere => f.write_str("the person's other sessions are elsewhere"),
            Self::HasItsShare { sessions, share } => {
                write!(f, "it has {}, and its share is {share:.1}", counted(*sessions))
            }
            Self::MoreLoaded { would_have, taken_has } if would_have > taken_has => write!(
                f,
                "it would have {would_have:.2} sessions per weight, the taken one has {taken_has:.2}"
            ),
            Self::MoreLoaded { would_have, .. } => write!(
                f,
                "it would have {would_have:.2} sessions per weight, as the taken one, whose id is lower"
            ),
        }
    }
}

impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ItsUser { of_user } => {
                write!(f, "the person has {} there already", counted(*of_user))
            }
            Self::Alone => f.write_str("it is the only one that can take it"),
            Self::ItsLoad { will_have, share } => write!(
                f,
                "it will have {will_have:.2} sessions per weight, the fewest; its share is {share:.1}"
            ),
        }
    }
}

/// What speaks against the one that is taken all the same.
fn though(favour: Favour) -> &'static str {
    match favour {
        Favour::Good => "",
        Favour::FailedStart => ", though a start failed there lately",
        Favour::Pressed => ", though it is under pressure",
        Favour::Stale => ", though its load is not known",
        Favour::Quiet => ", though it has not been heard for a moment",
    }
}

fn counted(sessions: u32) -> String {
    format!("{sessions} session{}", if sessions == 1 { "" } else { "s" })
}
