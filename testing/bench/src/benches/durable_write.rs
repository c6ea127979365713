//! Durable writes at `io/raft`'s border, in the leader's process: promises of sessions, applied when
//! acknowledged. One voter.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use abide_broker::Replica;
use abide_model::{AgentId, Timestamp};
use abide_raft::{Machine, Raft};
use anyhow::Context;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Lab;
use crate::figure::{Figure, Goal, Sample, Unit};
use crate::reference::Synced;
use crate::stats::{percentile_ms, rate};
use crate::table;

/// Clients at once, and the writes of all of them in one round.
const LOADS: [(u64, u64); 3] = [(1, 2_000), (64, 40_000), (1024, 80_000)];
const SYNCED_WRITES: usize = 1_000;
const REFERENCE: &str = "one fsync per write";

/// Measures.
pub fn run(lab: &Lab) -> anyhow::Result<Vec<Figure>> {
    let mut synced = Vec::new();
    let mut rates = vec![Vec::new(); LOADS.len()];
    let mut tails = vec![Vec::new(); LOADS.len()];
    for round in 0..lab.rounds {
        let folder = lab.folder(&format!("durable-write-{round}"))?;
        synced.push(one_by_one(&folder)?);
        for (n, (clients, writes)) in LOADS.into_iter().enumerate() {
            let folder = folder.join(clients.to_string());
            let (took, latencies) = lab.runtime.block_on(engine(&folder, clients, writes))?;
            rates[n].push(rate(latencies.len(), took));
            tails[n].push(percentile_ms(&latencies, 99.0));
        }
        fs::remove_dir_all(folder)?;
    }
    let mut figures = Vec::new();
    for ((clients, _), (rates, tails)) in LOADS.into_iter().zip(rates.into_iter().zip(tails)) {
        let figure = Figure::new(format!("writes, {clients} clients"), Unit::PerSecond, rates)
            .beside(Sample::new(REFERENCE, synced.clone()));
        figures.push(match clients {
            64 => figure
                .goal(Goal::AtLeast(30_000.0))
                .note("one voter; the goal is for three brokers in three processes with mTLS"),
            _ => figure,
        });
        figures.push(Figure::new(format!("p99, {clients} clients"), Unit::Milliseconds, tails));
    }
    Ok(figures)
}

/// How many a second one writer has on the disk, each before the next.
fn one_by_one(folder: &Path) -> anyhow::Result<f64> {
    let mut file = Synced::new(folder)?;
    let (agent, _) = table::agent(Timestamp(0))?;
    let record = Replica::encode(&table::reserve(&agent, 0, Timestamp(0))?);
    let began = Instant::now();
    for _ in 0..SYNCED_WRITES {
        file.write(&record)?;
    }
    Ok(rate(SYNCED_WRITES, began.elapsed()))
}

async fn engine(
    folder: &Path,
    clients: u64,
    writes: u64,
) -> anyhow::Result<(Duration, Vec<Duration>)> {
    let raft = table::lone_voter(folder, Uuid::new_v4()).await?;
    let now = table::now();
    let (agent, commands) = table::agent(now)?;
    for command in commands {
        raft.propose(command).await?;
    }
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        let numbers = (client..writes).step_by(clients as usize);
        tasks.spawn(write(raft.clone(), agent.clone(), numbers, now));
    }
    let mut latencies = Vec::new();
    while let Some(done) = tasks.join_next().await {
        latencies.extend(done.context("a client ended")??);
    }
    let took = began.elapsed();
    raft.stop().await?;
    Ok((took, latencies))
}

async fn write(
    raft: Raft<Replica>,
    agent: AgentId,
    numbers: impl Iterator<Item = u64>,
    now: Timestamp,
) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    for number in numbers {
        let command = table::reserve(&agent, number, now)?;
        let began = Instant::now();
        raft.propose(command).await?;
        latencies.push(began.elapsed());
    }
    Ok(latencies)
}
