//! Durable writes at `io/raft`'s border, in the leader's process: promises of sessions, applied when
//! acknowledged. Three voters in three processes with mTLS between them, and one alone; against one
//! fsync per write on the same disk.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use abide_broker::Replica;
use abide_model::Timestamp;
use abide_raft::Machine;

use super::Lab;
use crate::figure::{Figure, Goal, Sample, Unit};
use crate::reference::Synced;
use crate::stats::{percentile_ms, rate};
use crate::table;
use crate::voters::Group;
use crate::writes::Writer;

/// Clients at once, and the writes of all of them in one round.
const LOADS: [(u64, u64); 3] = [(1, 2_000), (64, 40_000), (1024, 80_000)];
const SYNCED_WRITES: usize = 1_000;
const REFERENCE: &str = "one fsync per write";
/// The load that the goal is for, and the goal.
const JUDGED: (u64, f64) = (64, 30_000.0);

/// Once a round.
#[derive(Default)]
struct Found {
    rate: Vec<f64>,
    half: Vec<f64>,
    most: Vec<f64>,
    /// CPU time of all processes, for each write, in µs.
    cpu: Vec<f64>,
}

/// Measures.
pub fn run(lab: &Lab) -> anyhow::Result<Vec<Figure>> {
    let mut synced = Vec::new();
    let [mut three, mut alone] = [(); 2].map(|()| LOADS.map(|_| Found::default()));
    for round in 0..lab.rounds {
        let folder = lab.folder(&format!("durable-write-{round}"))?;
        synced.push(one_by_one(&folder)?);
        for (voters, found) in [(3, &mut three), (1, &mut alone)] {
            let folder = folder.join(format!("{voters}-voters"));
            fs::create_dir(&folder)?;
            lab.runtime.block_on(engine(&folder, voters, found))?;
        }
        fs::remove_dir_all(folder)?;
    }
    let three = figures("three voters", three, &synced, Some(JUDGED));
    Ok(three.chain(figures("one voter", alone, &synced, None)).collect())
}

fn figures(
    who: &str,
    found: [Found; LOADS.len()],
    synced: &[f64],
    judged: Option<(u64, f64)>,
) -> impl Iterator<Item = Figure> {
    LOADS.into_iter().zip(found).flat_map(move |((clients, _), found)| {
        let name = |what| format!("{who}, {clients} clients: {what}");
        let writes = Figure::new(name("writes"), Unit::PerSecond, found.rate)
            .beside(Sample::new(REFERENCE, synced.to_vec()));
        let goal = judged.filter(|(at, _)| *at == clients).map(|(_, goal)| Goal::AtLeast(goal));
        [
            goal.into_iter().fold(writes, Figure::goal),
            Figure::new(name("p50"), Unit::Milliseconds, found.half),
            Figure::new(name("p99"), Unit::Milliseconds, found.most),
            Figure::new(name("CPU of all processes, a write"), Unit::Microseconds, found.cpu),
        ]
    })
}

/// How many a second one writer has on the disk, each before the next.
fn one_by_one(folder: &Path) -> anyhow::Result<f64> {
    let mut file = Synced::new(folder)?;
    let agent = table::agent(0)?;
    let record = Replica::default().encode(&table::reserve(&agent, 0, Timestamp(0))?)?;
    let began = Instant::now();
    for _ in 0..SYNCED_WRITES {
        file.write(&record)?;
    }
    Ok(rate(SYNCED_WRITES, began.elapsed()))
}

/// One group, which all loads are put on one after the other.
async fn engine(
    folder: &Path,
    voters: usize,
    found: &mut [Found; LOADS.len()],
) -> anyhow::Result<()> {
    let group = Group::new(folder, voters).await?;
    let now = table::now();
    let agents = table::enlist(group.raft(), 1, now).await?;
    let writer = Writer { raft: group.raft().clone(), agents, now };
    let mut number = 0;
    for ((clients, writes), found) in LOADS.into_iter().zip(found) {
        let before = group.cpu()?;
        let (took, latencies) = writer.by_clients(number..number + writes, clients).await?;
        let cpu: Duration = group.cpu()? - before;
        number += writes;
        found.rate.push(rate(latencies.len(), took));
        found.half.push(percentile_ms(&latencies, 50.0));
        found.most.push(percentile_ms(&latencies, 99.0));
        found.cpu.push(cpu.as_secs_f64() * 1e6 / writes as f64);
    }
    group.stop().await
}
