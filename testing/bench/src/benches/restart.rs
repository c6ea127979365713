//! A broker's restart with 100,000 sessions in its table.

use std::time::Instant;

use uuid::Uuid;

use super::Lab;
use crate::figure::{Figure, Goal, Unit};
use crate::table;

const SESSIONS: u64 = 100_000;

/// Measures.
pub fn run(lab: &Lab) -> anyhow::Result<Vec<Figure>> {
    let folder = lab.folder("restart")?;
    let cluster = Uuid::new_v4();
    let engine = lab.runtime.block_on(async {
        let raft = table::lone_voter(&folder, cluster).await?;
        table::fill(&raft, SESSIONS).await?;
        raft.stop().await?;
        let mut rounds = Vec::new();
        for _ in 0..lab.rounds {
            let began = Instant::now();
            let raft = table::lone_voter(&folder, cluster).await?;
            let found = raft.read().await?.0.sessions().count();
            rounds.push(began.elapsed().as_secs_f64());
            anyhow::ensure!(found as u64 == SESSIONS, "{found} sessions after the restart");
            raft.stop().await?;
        }
        anyhow::Ok(rounds)
    })?;
    Ok(vec![
        Figure::new("engine, until it reads the table", Unit::Seconds, engine)
            .goal(Goal::Below(1.0)),
    ])
}
