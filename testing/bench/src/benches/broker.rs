//! A large table: what a broker holds in memory for each session, how soon it serves after its start, how
//! long a snapshot takes, and how soon a new broker has it all. Writes go on meanwhile; how long they
//! wait is measured too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use abide_cluster::{Cluster, Options};
use abide_model::{AgentId, Command};
use abide_tls::BrokerIdentity;
use anyhow::{Context, ensure};

use super::Lab;
use crate::figure::{Figure, Goal, Sample, Unit};
use crate::program::rss;
use crate::stats::percentile_ms;
use crate::table;
use crate::voters::Group;
use crate::writes::Writer;

/// On one agent.
const SESSIONS_EACH: u64 = 100;
/// The table's size up to which a restart should take less than a second.
const QUICK: u64 = 100_000;
const SECOND: Goal = Goal::Below(1.0);
/// The pace of the writes that go on.
const EVERY: Duration = Duration::from_millis(1);
/// For how long they are watched when nothing else happens.
const UNDISTURBED: Duration = Duration::from_secs(5);
const UNDISTURBED_NAME: &str = "undisturbed";
const MIB: f64 = 1024.0 * 1024.0;

/// One round's restarts.
type Restart = [f64; 3];
/// The snapshot's size and time, the time to catch up, and the worst and p99 latencies of the writes:
/// undisturbed, during the snapshot, during the catching up.
type Growth = [f64; 9];

/// Measures.
pub fn run(lab: &Lab) -> anyhow::Result<Vec<Figure>> {
    let (restarts, growths) = lab.runtime.block_on(measure(lab))?;
    let [engine, broker, each] = by_figure(&restarts);
    let [size, written, caught_up, calm99, calm, saving99, saving, joining99, joining] =
        by_figure(&growths);
    let goal = |figure: Figure| if lab.sessions > QUICK { figure } else { figure.goal(SECOND) };
    let sessions = vec![lab.sessions as f64];
    let agents = vec![agents(lab) as f64];
    let writes = |what: &str, rounds, calm: &[f64]| {
        Figure::new(format!("a write, {what}"), Unit::Milliseconds, rounds)
            .beside(Sample::new(UNDISTURBED_NAME, calm.to_vec()))
    };
    Ok(vec![
        Figure::new("sessions in the table", Unit::Count, sessions),
        Figure::new("agents in the table", Unit::Count, agents),
        Figure::new("memory, per session", Unit::Bytes, each)
            .goal(Goal::AtMost(1024.0))
            .note("growth of the broker's RSS over an empty table's, right after a restart"),
        goal(Figure::new("restart, the engine alone", Unit::Seconds, engine)),
        goal(Figure::new("restart, until /readyz", Unit::Seconds, broker)),
        Figure::new("snapshot, its size", Unit::Mebibytes, size),
        Figure::new("snapshot, until it is on the disk", Unit::Seconds, written)
            .note("while 1,000 writes a second go on, each promising another session"),
        writes("p99 while the snapshot is written", saving99, &calm99),
        writes("the slowest while the snapshot is written", saving, &calm),
        Figure::new("a new broker, until it has everything", Unit::Seconds, caught_up).note(
            "the engines alone: it joins two voters over mTLS with an empty folder, all on this \
             machine, while 1,000 writes a second go on",
        ),
        writes("p99 while the new broker catches up", joining99, &calm99),
        writes("the slowest while the new broker catches up", joining, &calm),
    ])
}

fn agents(lab: &Lab) -> u64 {
    lab.sessions.div_ceil(SESSIONS_EACH)
}

async fn measure(lab: &Lab) -> anyhow::Result<(Vec<Restart>, Vec<Growth>)> {
    let mut cluster = Cluster::start(Options { agents: 0, ..Options::new()? }).await?;
    let empty = memory(&cluster)?;
    cluster.stop_broker(0);
    let own = cluster.broker().dir.clone();
    let data = own.join("data");
    let identity = BrokerIdentity::load(&own.join("identity"))?;
    let id = identity.identity.cluster().0;
    let raft = table::lone_voter(&data, id).await?;
    let agents = table::fill(&raft, lab.sessions, agents(lab)).await?;
    raft.stop().await?;
    let mut restarts = Vec::new();
    for _ in 0..lab.rounds {
        let began = Instant::now();
        let raft = table::lone_voter(&data, id).await?;
        let sessions = raft.read().await?.0.sessions().count() as u64;
        let engine = began.elapsed().as_secs_f64();
        ensure!(sessions == lab.sessions, "{sessions} sessions after the restart");
        raft.stop().await?;

        let began = Instant::now();
        cluster.start_broker(0).await?;
        let broker = began.elapsed().as_secs_f64();
        let each = (memory(&cluster)? - empty) / lab.sessions as f64;
        cluster.kill_broker(0);
        restarts.push([engine, broker, each]);
    }
    let address = cluster.broker().agent_address.parse()?;
    let group = Group::led(identity, &data, address, lab.folder("newcomers")?).await?;
    Ok((restarts, grow(lab, group, agents).await?))
}

/// Bytes.
fn memory(cluster: &Cluster) -> anyhow::Result<f64> {
    Ok(rss(cluster.broker().pid().context("the broker does not run")?)? as f64)
}

/// Two voters with the table: snapshots, and newcomers, one after the other.
async fn grow(lab: &Lab, mut group: Group, agents: Arc<[AgentId]>) -> anyhow::Result<Vec<Growth>> {
    let now = table::now();
    // The broker has taken them for lost meanwhile, since none of them is there.
    for (agent, number) in agents.iter().zip(0..) {
        group.raft().propose(Command { at: now, change: table::heard(agent, number)? }).await?;
    }
    group.voter().await?;
    let writer = Writer { raft: group.raft().clone(), agents, now };
    let mut next = lab.sessions;
    let mut rounds = Vec::new();
    for _ in 0..lab.rounds {
        let undisturbed = async {
            tokio::time::sleep(UNDISTURBED).await;
            anyhow::Ok(())
        };
        let ((), calm) = writer.steadily(next, EVERY, undisturbed).await?;
        next += calm.len() as u64;

        let snapshot = timed(async { Ok(group.raft().save().await?) });
        let (written, saving) = writer.steadily(next, EVERY, snapshot).await?;
        next += saving.len() as u64;

        group.start_newcomer()?;
        let catching_up = timed(group.newcomer_catches_up());
        let (caught_up, joining) = writer.steadily(next, EVERY, catching_up).await?;
        next += joining.len() as u64;
        group.drop_newcomer().await?;

        let size = group.raft().status().snapshot_bytes as f64 / MIB;
        let [calm, saving, joining] = [calm, saving, joining]
            .map(|latencies| [99.0, 100.0].map(|percent| percentile_ms(&latencies, percent)));
        let latencies = [calm, saving, joining].concat();
        rounds.push(std::array::from_fn(|n| match n {
            0 => size,
            1 => written.as_secs_f64(),
            2 => caught_up.as_secs_f64(),
            n => latencies[n - 3],
        }));
    }
    group.stop().await?;
    Ok(rounds)
}

async fn timed(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<Duration> {
    let began = Instant::now();
    work.await?;
    Ok(began.elapsed())
}

/// From one array a round to one list a figure.
fn by_figure<const N: usize>(rounds: &[[f64; N]]) -> [Vec<f64>; N] {
    std::array::from_fn(|figure| rounds.iter().map(|round| round[figure]).collect())
}
