//! One agent as placement sees it.

use std::fmt;
use std::time::Duration;

use abide_model::{AgentId, Label};
use abide_policy::PressureLimits;

/// A load older than this says nothing of now. Agents tell theirs once a second.
const FRESH: Duration = Duration::from_secs(5);

/// One agent as placement sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Which.
    pub agent: &'a AgentId,
    /// Its share against the others'; 0 counts as 1.
    pub weight: u32,
    /// Sessions that run, start or end there, and reservations, including those still on their way
    /// into the table.
    pub sessions: u32,
    /// How many of these are the same person's.
    pub of_user: u32,
    /// How many it takes at most.
    pub most: Option<u32>,
    /// Whether it is heard.
    pub hearing: Hearing,
    /// Whether it takes no new sessions.
    pub is_drained: bool,
    /// Whether it is of the person's pool.
    pub in_pool: bool,
    /// Whether it offers the profile.
    pub offers_profile: bool,
    /// What the profile requires and it does not have.
    pub missing: &'a [Label],
    /// How long ago it failed a start last, if no start has worked since.
    pub failed: Option<Duration>,
    /// What it told last.
    pub load: Option<Load>,
}

/// Whether an agent is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// It is.
    Heard,
    /// Not lately, but not for so long that it is unreachable.
    Quiet,
    /// No broker hears it.
    Unreachable,
}

/// What an agent told of its host. Percents are in hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// How long ago.
    pub age: Duration,
    /// Processes that wait for a processor: Linux's PSI, "some avg10".
    pub cpu_pressure: u32,
    /// Processes that wait for memory, the same.
    pub memory_pressure: u32,
    /// Memory that is left, of the whole; `None` if that is not known.
    pub memory_left: Option<u32>,
}

/// How gladly an agent is taken, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Favour {
    /// Nothing speaks against it.
    Good,
    /// It failed a start lately.
    FailedStart,
    /// It says that it is near what it can bear.
    Pressed,
    /// Its load is old or was never told: that is not the same as idle.
    Stale,
    /// It is not heard just now.
    Quiet,
}

/// What presses an agent. Percents are in hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressure {
    /// Processes wait for a processor.
    Cpu {
        /// How much.
        is: u32,
        /// From where on it counts.
        limit: u32,
    },
    /// Processes wait for memory.
    Memory {
        /// How much.
        is: u32,
        /// From where on it counts.
        limit: u32,
    },
    /// Little memory is left.
    MemoryLeft {
        /// How much.
        is: u32,
        /// Below what it counts.
        limit: u32,
    },
}

impl Candidate<'_> {
    /// How gladly it is taken, if it can be.
    pub fn favour(&self, limits: &PressureLimits) -> Favour {
        if self.hearing == Hearing::Quiet {
            return Favour::Quiet;
        }
        let Some(load) = self.fresh_load() else { return Favour::Stale };
        if load.pressure(limits).is_some() {
            Favour::Pressed
        } else if self.failed_lately(limits).is_some() {
            Favour::FailedStart
        } else {
            Favour::Good
        }
    }

    /// How long ago it failed a start, if it is avoided for that.
    pub fn failed_lately(&self, limits: &PressureLimits) -> Option<Duration> {
        self.failed.filter(|ago| *ago < limits.avoid_after_failure)
    }

    /// Whether it has as many sessions as it takes.
    pub(crate) fn is_full(&self) -> bool {
        self.most.is_some_and(|most| self.sessions >= most)
    }

    /// Whether it can take the session at all.
    pub(crate) fn can_take(&self) -> bool {
        self.hearing != Hearing::Unreachable
            && !self.is_drained
            && self.in_pool
            && self.offers_profile
            && self.missing.is_empty()
            && !self.is_full()
    }

    pub(crate) fn weight(&self) -> u32 {
        self.weight.max(1)
    }

    pub(crate) fn fresh_load(&self) -> Option<Load> {
        self.load.filter(|load| load.age <= FRESH)
    }
}

impl Load {
    /// What presses its host, if anything.
    pub fn pressure(&self, limits: &PressureLimits) -> Option<Pressure> {
        let hundredths = |percent: u32| percent.saturating_mul(100);
        let (cpu, memory) = (hundredths(limits.cpu), hundredths(limits.memory));
        let left = hundredths(limits.memory_left);
        match self.memory_left {
            _ if self.cpu_pressure >= cpu => {
                Some(Pressure::Cpu { is: self.cpu_pressure, limit: cpu })
            }
            _ if self.memory_pressure >= memory => {
                Some(Pressure::Memory { is: self.memory_pressure, limit: memory })
            }
            Some(is) if is < left => Some(Pressure::MemoryLeft { is, limit: left }),
            _ => None,
        }
    }
}

impl fmt::Display for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Cpu { is, limit } | Self::Memory { is, limit } | Self::MemoryLeft { is, limit }) =
            *self;
        let (is, limit) = (percent(is), percent(limit));
        match self {
            Self::Cpu { .. } => {
                write!(
                    f,
                    "its processes wait {is} of the time for a processor, and {limit} is much"
                )
            }
            Self::Memory { .. } => {
                write!(f, "its processes wait {is} of the time for memory, and {limit} is much")
            }
            Self::MemoryLeft { .. } => {
                write!(f, "{is} of its memory is left, and less than {limit} is little")
            }
        }
    }
}

/// `12.34 %`, without what is zero at the end.
fn percent(hundredths: u32) -> String {
    format!("{} %", f64::from(hundredths) / 100.0)
}
