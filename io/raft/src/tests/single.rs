//! One voter, alone.

use std::time::{Duration, Instant};

use openraft::Vote;
use openraft::storage::RaftLogStorage;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::store::{Snapshots, Store};
use crate::types::Types;
use crate::{Claim, OpenError, ProposeError, ReadError, SnapshotEvery, TakeOverError};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_proposed_is_applied_read_and_there_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let raft = start(folder.path()).await;
    assert_eq!(raft.propose(put(1, "one")).await.unwrap(), 1);
    assert_eq!(raft.propose(put(2, "two")).await.unwrap(), 2);
    assert_eq!(&*raft.read().await.unwrap().rows[&2], b"two");
    assert_eq!(raft.latest().steps, 2);
    raft.stop().await.unwrap();

    let again = start(folder.path()).await;
    assert_eq!(again.node(), raft.node());
    assert_eq!(&*again.read().await.unwrap().rows[&1], b"one");
    assert_eq!(again.propose(put(3, "three")).await.unwrap(), 3);
    again.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_group_cannot_read_yet_is_refused_in_the_states_words_and_not_written() {
    let folder = TempDir::new().unwrap();
    let raft = start(folder.path()).await;
    raft.propose(put(1, "x")).await.unwrap();
    let log = raft.status().log;
    let refused = raft.propose(put(2, UNSPOKEN)).await.unwrap_err();
    assert!(matches!(refused, ProposeError::Unspoken(_)), "{refused:?}");
    assert_eq!(refused.to_string(), "not everybody reads it");
    let peer = Peer { address: "broker:9000".into(), ..Peer::default() };
    let refused = raft.take_over(peer, raft.next_claim(0), Some(put(2, UNSPOKEN))).await;
    assert!(matches!(refused, Err(TakeOverError::Unspoken(_))), "{refused:?}");
    assert_eq!(raft.propose(put(3, "x")).await.unwrap(), 2);
    assert_eq!((raft.status().log, raft.claim()), (log + 1, Claim::default()));
    raft.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_voter_leads_at_once() {
    let folder = TempDir::new().unwrap();
    start(folder.path()).await.stop().await.unwrap();
    let began = Instant::now();
    let raft = start(folder.path()).await;
    raft.propose(put(1, "x")).await.unwrap();
    let took = began.elapsed();
    println!("open, lead and first write of an empty restart: {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    raft.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_commands_only_after_an_entry_of_its_own_term() {
    let folder = TempDir::new().unwrap();
    let raft = Raft::start(Table::default(), alone(folder.path(), Settings::default()));
    let raft = raft.await.unwrap();
    let mut leadership = raft.leadership();
    if !leadership.borrow().may_command() {
        assert_eq!(raft.command_fence(), None);
    }
    within(leadership.wait_for(|now| now.role == Role::Serving)).await.unwrap();
    let fence = raft.command_fence().unwrap();
    assert_eq!((fence.claim, fence.leader), (Claim::default(), raft.node()));
    assert!(raft.quorum_age().unwrap() < Duration::from_secs(5));
    assert!(!raft.serves_for().is_zero());
    raft.stop().await.unwrap();
    assert!(raft.serves_for().is_zero());
    assert_eq!(raft.command_fence(), None);
    assert_eq!(raft.leadership().borrow().role, Role::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_died_before_its_terms_first_entry_serves_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let raft = start(folder.path()).await;
    raft.propose(put(1, "x")).await.unwrap();
    let term = raft.leadership().borrow().term;
    raft.stop().await.unwrap();
    let store = Store::<Table>::open(folder.path(), CLUSTER).unwrap();
    let mut log = store.log;
    let won = Vote::new_committed(term + 1, store.identity.node);
    RaftLogStorage::<Types<Table>>::save_vote(&mut log, &won).await.unwrap();
    log.close().await.unwrap();

    let again = within(start(folder.path())).await;
    assert_eq!(again.command_fence().unwrap().term, term + 1);
    assert_eq!(again.read().await.unwrap().steps, 1);
    again.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_at_once_share_entries_and_all_get_their_own_outcome() {
    let folder = TempDir::new().unwrap();
    let raft = start(folder.path()).await;
    let before = *raft.changes().borrow();
    let mut tasks = tokio::task::JoinSet::new();
    for key in 0..3000 {
        let raft = raft.clone();
        tasks.spawn(async move { raft.propose(put(key, vec![7; 100])).await.unwrap() });
    }
    let mut steps = within(tasks.join_all()).await;
    steps.sort_unstable();
    assert_eq!(steps, (1..=3000).collect::<Vec<_>>());
    let entries = *raft.changes().borrow() - before;
    assert!(entries < 1000, "{entries} entries for 3000 commands");
    assert_eq!(raft.read().await.unwrap().rows.len(), 3000);
    raft.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_wait_share_one_question_and_see_their_own_writes() {
    let folder = TempDir::new().unwrap();
    let raft = start(folder.path()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for key in 0..200 {
        let raft = raft.clone();
        tasks.spawn(async move {
            for round in 0..5u8 {
                raft.propose(put(key, [round])).await.unwrap();
                assert_eq!(&*raft.read().await.unwrap().rows[&key], [round]);
            }
        });
    }
    within(tasks.join_all()).await;
    raft.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_wakes_who_waits_for_it() {
    let folder = TempDir::new().unwrap();
    let raft = start(folder.path()).await;
    let mut changes = raft.changes();
    let waiting = {
        let raft = raft.clone();
        tokio::spawn(async move {
            loop {
                changes.borrow_and_update();
                if raft.latest().rows.contains_key(&9) {
                    return;
                }
                changes.changed().await.unwrap();
            }
        })
    };
    raft.propose(put(9, "x")).await.unwrap();
    within(waiting).await.unwrap();
    raft.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_commits_what_waits_and_refuses_the_rest() {
    let folder = TempDir::new().unwrap();
    let raft = start(folder.path()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for key in 0..2000 {
        let raft = raft.clone();
        tasks.spawn(async move { (key, raft.propose(put(key, "x")).await) });
    }
    tokio::task::yield_now().await;
    raft.stop().await.unwrap();
    raft.stop().await.unwrap();
    let results = within(tasks.join_all()).await;
    assert!(matches!(raft.propose(put(1, "x")).await, Err(ProposeError::Stopping)));
    assert!(matches!(raft.read().await, Err(ReadError::Stopping)));

    let again = start(folder.path()).await;
    let table = again.read().await.unwrap();
    for (key, result) in results {
        match result {
            Ok(_) => assert!(table.rows.contains_key(&key), "{key} was acknowledged"),
            Err(ProposeError::Stopping) => assert!(!table.rows.contains_key(&key)),
            Err(other) => panic!("{other}"),
        }
    }
    again.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fits_no_entry_is_refused() {
    let folder = TempDir::new().unwrap();
    let raft = start(folder.path()).await;
    let refused = raft.propose(put(1, vec![0; 1 << 20])).await;
    assert!(matches!(refused, Err(ProposeError::TooLarge { .. })), "{refused:?}");
    raft.propose(put(1, vec![0; (1 << 20) - 64])).await.unwrap();
    raft.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_empty_the_log_and_carry_the_state_over_restarts() {
    let folder = TempDir::new().unwrap();
    let settings = Settings {
        snapshot_every: SnapshotEvery { least: 20_000, most: 20_000 },
        ..Settings::default()
    };
    let raft = start_with(folder.path(), settings).await;
    let file = folder.path().join("snapshot");
    let mut key = 0;
    let mut written = 0;
    let mut last = None;
    // Until three snapshots have been seen, the log is emptied behind the second.
    within(async {
        while written < 3 {
            raft.propose(put(key % 50, vec![1; 1000])).await.unwrap();
            key += 1;
            let now = std::fs::metadata(&file).ok().map(|now| now.modified().unwrap());
            written += usize::from(now != last);
            last = now;
        }
    })
    .await;
    let before = raft.read().await.unwrap();
    raft.stop().await.unwrap();
    let kept = first_and_last_entry(folder.path());
    assert!(kept.0 > 0, "the log begins at {kept:?} after {key} commands");

    let again = start_with(folder.path(), settings).await;
    assert_eq!(again.read().await.unwrap(), before);
    again.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_asked_for_holds_all_that_was_acknowledged() {
    let folder = TempDir::new().unwrap();
    let raft = start(folder.path()).await;
    for key in 0..20 {
        raft.propose(put(key, "x")).await.unwrap();
        within(raft.save()).await.unwrap();
        let (_, saved) = Snapshots::open::<Table>(folder.path(), Default::default()).unwrap();
        assert_eq!(saved.as_ref(), Some(&*raft.latest()));
    }
    raft.stop().await.unwrap();
}

fn first_and_last_entry(folder: &Path) -> (i64, i64) {
    let database = rusqlite::Connection::open(folder.join("raft.db")).unwrap();
    let query = "SELECT min(idx), max(idx) FROM log";
    database.query_row(query, (), |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_use_or_of_another_cluster_is_refused() {
    let folder = TempDir::new().unwrap();
    let raft = start(folder.path()).await;
    let refused = start_error(folder.path()).await;
    assert!(matches!(refused, StartError::Open(OpenError::InUse { .. })), "{refused}");
    raft.stop().await.unwrap();

    let mut other = alone(folder.path(), Settings::default());
    other.cluster = Uuid::from_u128(8);
    let refused = Raft::start(Table::default(), other).await.map(drop).unwrap_err();
    assert!(matches!(refused, StartError::Open(OpenError::OtherCluster { .. })), "{refused}");
    start(folder.path()).await.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_handles_are_gone_lets_go_of_its_folder() {
    let folder = TempDir::new().unwrap();
    let raft = start(folder.path()).await;
    raft.propose(put(1, "x")).await.unwrap();
    drop(raft);
    let again = within(async {
        loop {
            match Raft::start(Table::default(), alone(folder.path(), Settings::default())).await {
                Ok(raft) => return raft,
                Err(StartError::Open(OpenError::InUse { .. })) => tokio::task::yield_now().await,
                Err(other) => panic!("{other}"),
            }
        }
    })
    .await;
    assert!(again.read().await.unwrap().rows.contains_key(&1));
    again.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_folder_becomes_another_node() {
    let folder = TempDir::new().unwrap();
    let raft = start(folder.path()).await;
    raft.stop().await.unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let again = start(folder.path()).await;
    assert_ne!(again.node(), raft.node());
    again.stop().await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever is proposed and wherever it is stopped, the state is that of the commands in order.
    #[test]
    fn restarts_change_nothing(
        lives in prop::collection::vec(
            prop::collection::vec((0u64..20, prop::collection::vec(any::<u8>(), 0..2000)), 0..30),
            1..5,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = TempDir::new().unwrap();
            let every = SnapshotEvery { least: 5_000, most: 5_000 };
            let settings = Settings { snapshot_every: every, ..Settings::default() };
            let mut model = Table::default();
            for life in lives {
                let raft = start_with(folder.path(), settings).await;
                assert_eq!(*raft.read().await.unwrap(), model);
                for (key, value) in life {
                    let command = put(key, value);
                    let outcome = raft.propose(command.clone()).await.unwrap();
                    assert_eq!(outcome, model.apply(command));
                }
                raft.stop().await.unwrap();
            }
        });
    }
}
