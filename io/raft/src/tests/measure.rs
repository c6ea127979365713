//! Times, printed. The bounds are generous: the machine may be busy, and the build unoptimised.

use std::time::Instant;

use tempfile::TempDir;

use super::*;
use crate::SnapshotEvery;

const SESSIONS: u64 = 100_000;
const ROW: usize = 300;

async fn fill(raft: &Raft<Table>, keys: std::ops::Range<u64>, writers: u64) -> Duration {
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let (raft, keys) = (raft.clone(), keys.clone());
        tasks.spawn(async move {
            for key in (keys.start + writer..keys.end).step_by(writers as usize) {
                raft.propose(put(key, vec![key as u8; ROW])).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    began.elapsed()
}

/// Opens, applies, leads, and answers a read.
async fn restart(folder: &Path, what: &str) -> Duration {
    let began = Instant::now();
    let raft = Raft::start(Table::default(), alone(folder, Settings::default())).await.unwrap();
    let started = began.elapsed();
    let rows = raft.read().await.unwrap().rows.len();
    let took = began.elapsed();
    println!("restart with {rows} sessions, {what}: {took:?} (opened in {started:?})");
    raft.stop().await.unwrap();
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_sessions_restart_within_the_bound() {
    let folder = TempDir::new().unwrap();
    let raft = start(folder.path()).await;
    let took = fill(&raft, 0..SESSIONS, 1024).await;
    println!("{SESSIONS} commands from 1024 writers: {:.0}/s", rate(SESSIONS, took));
    raft.stop().await.unwrap();
    let bound = if cfg!(debug_assertions) { 20 } else { 2 };
    let took = restart(folder.path(), "snapshot and log").await;
    assert!(took < Duration::from_secs(bound), "{took:?}");

    // The worst case: as much log as there may be behind a snapshot.
    let every = SnapshotEvery { least: u64::MAX, most: u64::MAX };
    let raft = start_with(folder.path(), Settings { snapshot_every: every, ..Settings::default() });
    let raft = raft.await;
    fill(&raft, 0..SESSIONS / 2, 1024).await;
    raft.stop().await.unwrap();
    let took = restart(folder.path(), "snapshot and the most log").await;
    assert!(took < Duration::from_secs(bound), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_and_reads_are_counted() {
    let folder = TempDir::new().unwrap();
    let raft = start(folder.path()).await;
    for (writers, commands) in [(1, 500), (64, 20_000), (1024, 60_000)] {
        let took = fill(&raft, 0..commands, writers).await;
        println!("{writers} writers: {:.0} commands/s", rate(commands, took));
    }
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let raft = raft.clone();
        tasks.spawn(async move {
            for _ in 0..1000 {
                raft.read().await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    println!("64 readers: {:.0} reads/s", rate(64_000, began.elapsed()));
    raft.stop().await.unwrap();
}

fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
