//! SIGKILL at any moment: what was acknowledged is there.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::*;
use crate::SnapshotEvery;

/// Says in the child what folder to use.
const FOLDER: &str = "ABIDE_RAFT_TEST_FOLDER";
const ROUNDS: u64 = 12;

fn settings() -> Settings {
    // Small, so that snapshots and the emptying of the log are killed too.
    let every = SnapshotEvery { least: 30_000, most: 30_000 };
    Settings { snapshot_every: every, ..Settings::default() }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The child: proposes from eight tasks and says every acknowledged key on its own line.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_proposes_until_it_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let raft = start_with(Path::new(&folder), settings()).await;
    let next = raft.read().await.unwrap().rows.keys().max().map_or(0, |last| last + 1);
    println!("started");
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let raft = raft.clone();
        tasks.spawn(async move {
            for key in (next + task..).step_by(8) {
                raft.propose(put(key, vec![key as u8; 200])).await.unwrap();
                println!("acknowledged {key}");
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_by_a_kill() {
    let folder = TempDir::new().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::kill::child_that_proposes_until_it_is_killed", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut child = Killed(child);
        let output = child.0.stdout.take().unwrap();
        // Another number of acknowledgements each time, and the seven other tasks are anywhere.
        let enough = 20 + round * 37;
        let reader = tokio::task::spawn_blocking(move || {
            let mut seen = Vec::new();
            let mut ended = None;
            let mut lines = BufReader::new(output);
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
                // A line without its end was cut by the kill: the number may not be whole.
                let whole = line.strip_suffix('\n');
                if let Some(key) = whole.and_then(|line| line.strip_prefix("acknowledged ")) {
                    seen.push(key.parse::<u64>().unwrap());
                }
                line.clear();
                if seen.len() as u64 == enough && ended.is_none() {
                    child.0.kill().unwrap();
                    ended = Some(child.0.wait().unwrap());
                }
            }
            seen
        });
        let seen = within(reader).await.unwrap();
        assert!(seen.len() as u64 >= enough, "the child ended by itself");
        acknowledged.extend(seen);

        let raft = within(start_with(folder.path(), settings())).await;
        // Whoever serves has applied all of it: no question to anybody is needed.
        let table = raft.latest();
        for key in &acknowledged {
            let row = table.rows.get(key).unwrap_or_else(|| panic!("round {round}: {key} is lost"));
            assert_eq!(&**row, [*key as u8; 200]);
        }
        raft.stop().await.unwrap();
    }
    println!("{} acknowledged over {ROUNDS} kills", acknowledged.len());
}
