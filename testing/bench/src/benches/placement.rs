//! The choice among 10,000 agents of three weights: alone, and with all that the leader does for it under
//! its lock, one session after the other coming into the table.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use abide_broker::{Counts, Placing, Replica, Sign, Told, View, Wish};
use abide_model::{AgentId, ProfileName, SessionId, Timestamp, UserName, Want};
use abide_placement::{Candidate, Hearing, Load, choose};
use abide_policy::{ClusterConfig, PressureLimits};
use anyhow::{Context, anyhow, ensure};
use uuid::Uuid;

use super::Lab;
use crate::figure::{Figure, Goal, Unit};
use crate::stats::percentile_us;
use crate::table::{self, enlistment};

const AGENTS: u64 = 10_000;
const STARTS: u64 = 1_000;
const MILLISECOND: Goal = Goal::Below(1_000.0);

/// Measures.
pub fn run(lab: &Lab) -> anyhow::Result<Vec<Figure>> {
    let mut rounds: [Vec<f64>; 5] = Default::default();
    for _ in 0..lab.rounds {
        let choices = choices()?;
        let (first, placements) = placements()?;
        let figures = [
            percentile_us(&choices, 50.0),
            percentile_us(&choices, 99.0),
            percentile_us(&placements, 50.0),
            percentile_us(&placements, 99.0),
            first.as_secs_f64() * 1e6,
        ];
        rounds.iter_mut().zip(figures).for_each(|(all, figure)| all.push(figure));
    }
    let [choice50, choice99, place50, place99, first] = rounds;
    let figure = |what: &str, rounds| Figure::new(what, Unit::Microseconds, rounds);
    Ok(vec![
        figure("the choice alone, p50", choice50).goal(MILLISECOND),
        figure("the choice alone, p99", choice99).goal(MILLISECOND),
        figure("a placement, p50", place50).goal(MILLISECOND),
        figure("a placement, p99", place99).goal(MILLISECOND).note(
            "from the newest table to the agent's name, each after one more reservation; what is heard \
             of the agents, ten times a second, is apart",
        ),
        figure("the first placement of a new leader", first),
    ])
}

/// How long [`choose`] takes, each time with another load.
fn choices() -> anyhow::Result<Vec<Duration>> {
    let ids: Vec<_> = (0..AGENTS).map(table::agent).collect::<anyhow::Result<_>>()?;
    let mut all: Vec<_> = ids.iter().zip(0..).map(|(agent, n)| candidate(agent, n)).collect();
    let limits = PressureLimits::default();
    let mut took = Vec::new();
    for _ in 0..STARTS {
        let began = Instant::now();
        let taken = choose(std::hint::black_box(&all), &limits);
        took.push(began.elapsed());
        all[taken.context("nobody is taken")?].sessions += 1;
    }
    Ok(took)
}

fn candidate(agent: &AgentId, number: u32) -> Candidate<'_> {
    Candidate {
        agent,
        weight: [1, 2, 4][number as usize % 3],
        sessions: number % 7,
        of_user: 0,
        most: Some(100),
        hearing: Hearing::Heard,
        is_drained: false,
        in_pool: true,
        offers_profile: true,
        missing: &[],
        failed: None,
        load: Some(Load {
            age: Duration::from_millis(500),
            cpu_pressure: number % 3_000,
            memory_pressure: 0,
            memory_left: Some(6_000),
        }),
    }
}

/// How long a placement takes, the first one apart.
fn placements() -> anyhow::Result<(Duration, Vec<Duration>)> {
    let now = table::now();
    let mut replica = Replica::default();
    for number in 0..AGENTS {
        for command in enlistment(&table::agent(number)?, number, now)? {
            replica.0.apply(command);
        }
    }
    let (policy, placing) = (Arc::new(ClusterConfig::default()), Placing::default());
    let mut took = Vec::new();
    let mut taken = BTreeSet::new();
    for number in 0..=STARTS {
        let user: UserName = format!("user-{number:07}").parse()?;
        let latest = Arc::new(replica.clone());
        let began = Instant::now();
        let agent = place(&placing, latest, &policy, &user, now)?;
        took.push(began.elapsed());
        replica.0.apply(table::reserve(&agent, number, now)?);
        taken.insert(agent);
    }
    ensure!(taken.len() as u64 == STARTS + 1, "{} agents were taken", taken.len());
    let first = took.remove(0);
    Ok((first, took))
}

fn place(
    placing: &Placing,
    latest: Arc<Replica>,
    policy: &Arc<ClusterConfig>,
    user: &UserName,
    now: Timestamp,
) -> anyhow::Result<AgentId> {
    let profile: ProfileName = "desk".parse()?;
    let wish = Wish {
        session: SessionId(Uuid::nil()),
        user,
        pool: None,
        profile: &profile,
        key: &"k".parse()?,
        counts: Counts::OneMore(&Want::Start),
    };
    let told = Told { at: now, cpu_pressure: 50, memory_pressure: 0, memory_left: Some(6_000) };
    let sign = Sign { is_heard: true, told: Some(told) };
    let signs = |agents: &[&AgentId]| vec![sign; agents.len()];
    let view = View { policy, now, signs };
    let placed = placing.place(|| latest, &wish, &view);
    Ok(placed.map_err(|why| anyhow!("{why:?}"))?.agent.clone())
}
