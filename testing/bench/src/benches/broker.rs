//! A broker with 100,000 sessions in its table: how soon it serves after its start, and what it holds in
//! memory.

use std::time::Instant;

use abide_cluster::{Cluster, Options};
use abide_tls::BrokerIdentity;
use anyhow::{Context, ensure};

use super::Lab;
use crate::figure::{Figure, Goal, Unit};
use crate::program::rss;
use crate::table;

const SESSIONS: u64 = 100_000;

/// Measures.
pub fn run(lab: &Lab) -> anyhow::Result<Vec<Figure>> {
    let [engine, broker, each] = lab.runtime.block_on(measure(lab))?;
    Ok(vec![
        Figure::new("restart, the engine alone", Unit::Seconds, engine).goal(Goal::Below(1.0)),
        Figure::new("restart, until /readyz", Unit::Seconds, broker).goal(Goal::Below(1.0)),
        Figure::new("memory, per session", Unit::Bytes, each)
            .goal(Goal::AtMost(1024.0))
            .note("growth of the RSS over an empty table's, right after a restart"),
    ])
}

async fn measure(lab: &Lab) -> anyhow::Result<[Vec<f64>; 3]> {
    let mut cluster = Cluster::start(Options { agents: 0, ..Options::new()? }).await?;
    let empty = memory(&cluster)?;
    cluster.stop_broker(0);
    let own = cluster.broker().dir.clone();
    let data = own.join("data");
    let id = BrokerIdentity::load(&own.join("identity"))?.identity.cluster().0;
    let raft = table::lone_voter(&data, id).await?;
    table::fill(&raft, SESSIONS).await?;
    raft.stop().await?;
    let mut found = [const { Vec::new() }; 3];
    for _ in 0..lab.rounds {
        let began = Instant::now();
        let raft = table::lone_voter(&data, id).await?;
        let sessions = raft.read().await?.0.sessions().count() as u64;
        let engine = began.elapsed().as_secs_f64();
        ensure!(sessions == SESSIONS, "{sessions} sessions after the restart");
        raft.stop().await?;

        let began = Instant::now();
        cluster.start_broker(0).await?;
        let broker = began.elapsed().as_secs_f64();
        let each = (memory(&cluster)? - empty) / SESSIONS as f64;
        cluster.kill_broker(0);
        found.iter_mut().zip([engine, broker, each]).for_each(|(all, value)| all.push(value));
    }
    Ok(found)
}

/// Bytes.
fn memory(cluster: &Cluster) -> anyhow::Result<f64> {
    Ok(rss(cluster.broker().pid().context("the broker does not run")?)? as f64)
}
