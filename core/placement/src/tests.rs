mod examples;
mod invariants;

use std::time::Duration;

use abide_model::AgentId;

use crate::{Candidate, Hearing, Load};

const CALM: Load = Load {
    age: Duration::from_millis(400),
    cpu_pressure: 100,
    memory_pressure: 0,
    memory_left: Some(6_000),
};

fn id(n: usize) -> AgentId {
    format!("{n:032x}").parse().unwrap()
}

/// Nothing speaks against it.
fn candidate(agent: &AgentId, sessions: u32) -> Candidate<'_> {
    Candidate {
        agent,
        weight: 1,
        sessions,
        of_user: 0,
        most: None,
        hearing: Hearing::Heard,
        is_drained: false,
        in_pool: true,
        offers_profile: true,
        missing: &[],
        failed: None,
        load: Some(CALM),
    }
}
