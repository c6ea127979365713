//! One measured figure, what stands beside it, and what it should be.

use std::fmt;

use serde::Serialize;

use crate::stats;

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    Count,
    PerSecond,
    Seconds,
    Milliseconds,
    Microseconds,
    CpuSecondsPerGigabyte,
    MegabytesPerSecond,
    Mebibytes,
    Kibibytes,
    Bytes,
}

/// A figure as it was measured, once a round.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// Whose it is: "Abide", "HAProxy".
    pub of: String,
    /// One value a round. Empty if it could not be measured; `note` says why.
    pub rounds: Vec<f64>,
    /// The rounds' median.
    pub median: Option<f64>,
    /// What a reader must know to take it for what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What the project wants a figure to be. Compared by the rounds' medians.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    AtMost(f64),
    Below(f64),
    AtLeast(f64),
    /// At most a reference's figure and so much more.
    AtMostReference {
        of: &'static str,
        plus: f64,
    },
    /// At least so many times a reference's figure.
    TimesReference {
        of: &'static str,
        factor: f64,
    },
}

/// Whether a goal is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Reached,
    NotReached,
    /// There is no goal, or what it is compared with could not be measured.
    Open,
}

/// One line of the report.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    pub what: String,
    pub unit: Unit,
    pub abide: Sample,
    pub references: Vec<Sample>,
    pub goal: Option<Goal>,
    pub verdict: Verdict,
}

impl Sample {
    /// A sample with one value for each round.
    pub fn new(of: &str, rounds: Vec<f64>) -> Self {
        let median = stats::median(&rounds);
        Self { of: of.to_owned(), rounds, median, note: None }
    }

    /// A sample that could not be taken.
    pub fn missing(of: &str, why: impl fmt::Display) -> Self {
        Self { note: Some(why.to_string()), ..Self::new(of, Vec::new()) }
    }

    /// Adds what a reader must know.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}

impl Figure {
    /// A figure of Abide's, with nothing beside it yet.
    pub fn new(what: impl Into<String>, unit: Unit, rounds: Vec<f64>) -> Self {
        Self::of(what, unit, vec![Sample::new("Abide", rounds)])
    }

    /// A figure from samples, of which the first is Abide's and the others stand beside it.
    pub fn of(what: impl Into<String>, unit: Unit, mut samples: Vec<Sample>) -> Self {
        let references = samples.split_off(samples.len().min(1));
        let abide = samples.pop().unwrap_or_else(|| Sample::missing("Abide", "not measured"));
        Self { what: what.into(), unit, abide, references, goal: None, verdict: Verdict::Open }
    }

    /// Puts a reference beside it.
    pub fn beside(mut self, reference: Sample) -> Self {
        self.references.push(reference);
        self.judge()
    }

    /// Says what it should be.
    pub fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self.judge()
    }

    /// Adds what a reader must know.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.abide = self.abide.note(note);
        self
    }

    fn judge(mut self) -> Self {
        let reference =
            |of: &str| self.references.iter().find(|it| it.of == of).and_then(|it| it.median);
        let reached = self.abide.median.zip(self.goal.as_ref()).and_then(|(value, goal)| {
            Some(match *goal {
                Goal::AtMost(limit) => value <= limit,
                Goal::Below(limit) => value < limit,
                Goal::AtLeast(limit) => value >= limit,
                Goal::AtMostReference { of, plus } => value <= reference(of)? + plus,
                Goal::TimesReference { of, factor } => value >= reference(of)? * factor,
            })
        });
        self.verdict = match reached {
            Some(true) => Verdict::Reached,
            Some(false) => Verdict::NotReached,
            None => Verdict::Open,
        };
        self
    }
}

impl Unit {
    /// The value with its unit, to three digits.
    pub fn show(self, value: f64) -> String {
        format!("{} {self}", digits(value)).trim_end().to_owned()
    }
}

/// The value to three digits.
pub fn digits(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        it if it < 10.0 => 2,
        it if it < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unit::Count => "",
            Unit::PerSecond => "/s",
            Unit::Seconds => "s",
            Unit::Milliseconds => "ms",
            Unit::Microseconds => "µs",
            Unit::CpuSecondsPerGigabyte => "s/GB",
            Unit::MegabytesPerSecond => "MB/s",
            Unit::Mebibytes => "MiB",
            Unit::Kibibytes => "KiB",
            Unit::Bytes => "B",
        })
    }
}

impl Goal {
    /// The goal in words.
    pub fn show(&self, unit: Unit) -> String {
        match *self {
            Goal::AtMost(limit) => format!("≤ {}", unit.show(limit)),
            Goal::Below(limit) => format!("< {}", unit.show(limit)),
            Goal::AtLeast(limit) => format!("≥ {}", unit.show(limit)),
            Goal::AtMostReference { of, plus: 0.0 } => format!("≤ {of}"),
            Goal::AtMostReference { of, plus } => format!("≤ {of} + {}", unit.show(plus)),
            Goal::TimesReference { of, factor } => format!("≥ {factor:.0} × {of}"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Reached => "reached",
            Verdict::NotReached => "not reached",
            Verdict::Open => "",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_judged_by_medians_and_stays_open_without_its_reference() {
        let figure = |goal| Figure::new("x", Unit::Seconds, vec![1.0, 9.0, 2.0]).goal(goal);
        let of = "other";
        for (goal, other, expected) in [
            (Goal::AtMost(2.0), None, Verdict::Reached),
            (Goal::Below(2.0), None, Verdict::NotReached),
            (Goal::AtLeast(3.0), None, Verdict::NotReached),
            (Goal::AtMostReference { of, plus: 0.5 }, Some(1.5), Verdict::Reached),
            (Goal::AtMostReference { of, plus: 0.0 }, Some(1.5), Verdict::NotReached),
            (Goal::AtMostReference { of, plus: 0.0 }, None, Verdict::Open),
            (Goal::TimesReference { of, factor: 2.0 }, Some(1.0), Verdict::Reached),
        ] {
            let reference = match other {
                Some(value) => Sample::new(of, vec![value]),
                None => Sample::missing(of, "not installed"),
            };
            assert_eq!(figure(goal.clone()).beside(reference).verdict, expected, "{goal:?}");
        }
    }
}
