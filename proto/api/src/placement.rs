//! Where a start would go, and why.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Time;

/// Where a start would go now, as the broker that answers sees it. Nothing is placed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Placement {
    /// Whose start.
    pub user: String,
    /// Which kind of desktop.
    pub profile: Option<String>,
    /// The pool that the person is offered; absent where there are no pools, or none for the person.
    pub pool: Option<String>,
    /// The agent that would get the session.
    pub taken: Option<String>,
    /// What the person would be told instead.
    pub refusal: Option<String>,
    /// The one that would get it first, then those that could, then the others, by name.
    pub agents: Vec<PlacementAgent>,
}

/// One agent, and why it would get the session or not.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PlacementAgent {
    /// The agent's id.
    pub id: String,
    /// Its host's name.
    pub name: String,
    /// `taken`, or what speaks against it: `out-of-pool`, `drained`, `unreachable`, `no-such-profile`,
    /// `labels-missing`, `full`, `quiet`, `stale-load`, `under-pressure`, `failed-start`, `user-elsewhere`,
    /// `has-its-share`, `more-loaded`.
    pub verdict: String,
    /// The same in plain words, with the numbers.
    pub why: String,
    /// Sessions that start, run or end on it.
    pub sessions: u32,
    /// Reservations that it has not begun.
    pub reserved: u32,
    /// How many it takes at most.
    pub max_sessions: Option<u32>,
    /// Its share against the others'.
    pub weight: u32,
    /// Sessions and reservations for each unit of its weight.
    pub load: f64,
    /// How old is what it told of its host, milliseconds; absent if it told nothing, or nothing is heard of it.
    pub load_age_ms: Option<u64>,
    /// How much its processes wait for a processor, percent.
    pub cpu_pressure: Option<f64>,
    /// How much its processes wait for memory, percent.
    pub memory_pressure: Option<f64>,
    /// How much of its memory is left, percent.
    pub memory_left: Option<f64>,
    /// When it failed a start last, if none that was reserved since has worked.
    pub failed_at: Option<Time>,
}
