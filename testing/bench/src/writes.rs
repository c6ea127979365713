//! Durable writes at `io/raft`'s border: promises of sessions, each applied when it is acknowledged.

use std::future::Future;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use abide_broker::Replica;
use abide_model::{AgentId, Outcome, Timestamp};
use abide_raft::Raft;
use anyhow::{Context, ensure};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::table;

/// Who promises sessions, and on which agents.
#[derive(Clone)]
pub struct Writer {
    pub raft: Raft<Replica>,
    pub agents: Arc<[AgentId]>,
    pub now: Timestamp,
}

impl Writer {
    /// So many clients, each with one write at a time, share these numbers. Gives what it took
    /// altogether, and each write's latency.
    pub async fn by_clients(
        &self,
        numbers: Range<u64>,
        clients: u64,
    ) -> anyhow::Result<(Duration, Vec<Duration>)> {
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for client in 0..clients {
            let numbers = (numbers.start + client..numbers.end).step_by(clients as usize);
            let writer = self.clone();
            tasks.spawn(async move {
                let mut latencies = Vec::new();
                for number in numbers {
                    let began = Instant::now();
                    writer.write(number).await?;
                    latencies.push(began.elapsed());
                }
                anyhow::Ok(latencies)
            });
        }
        let mut latencies = Vec::new();
        while let Some(done) = tasks.join_next().await {
            latencies.extend(done.context("a client ended")??);
        }
        Ok((began.elapsed(), latencies))
    }

    /// Writes at a steady pace, from number `first` on, while `work` is done. A write's latency counts
    /// from when its turn was, so that a standstill counts for all that it held up.
    pub async fn steadily<T>(
        &self,
        first: u64,
        every: Duration,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<(T, Vec<Duration>)> {
        let mut work = pin!(work);
        let mut turns = interval(every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut tasks = JoinSet::new();
        let done = loop {
            tokio::select! {
                done = &mut work => break done?,
                turn = turns.tick() => {
                    let (writer, number) = (self.clone(), first + tasks.len() as u64);
                    tasks.spawn(async move {
                        writer.write(number).await?;
                        anyhow::Ok(turn.elapsed())
                    });
                }
            }
        };
        let latencies = tasks.join_all().await.into_iter().collect::<Result<_, _>>()?;
        Ok((done, latencies))
    }

    async fn write(&self, number: u64) -> anyhow::Result<()> {
        let agent = &self.agents[number as usize % self.agents.len()];
        let outcome = self.raft.propose(table::reserve(agent, number, self.now)?).await?;
        ensure!(matches!(outcome, Outcome::Reserved(_)), "session {number}: {outcome:?}");
        Ok(())
    }
}
