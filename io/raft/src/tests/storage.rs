//! The store under openraft's own suite.

use std::collections::VecDeque;

use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::testing::{StoreBuilder, Suite};
use openraft::{Entry, EntryPayload, LogState, RaftLogReader, StorageIOError};
use proptest::prelude::*;
use tempfile::TempDir;

use super::{CLUSTER, Table};
use crate::NodeId;
use crate::batch::Batch;
use crate::state::State;
use crate::store::{LogStore, Store};
use crate::types::{StorageFault, Types};

struct Builder;

impl StoreBuilder<Types<Table>, LogStore, State<Table>, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, State<Table>), StorageFault> {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path(), CLUSTER)
            .map_err(|cause| StorageIOError::read(openraft::AnyError::new(&cause)))?;
        let (state, _) = State::new(Table::default(), store.machine, store.snapshots);
        Ok((folder, store.log, state))
    }
}

#[test]
fn openrafts_own_suite_passes() {
    Suite::test_all(Builder).unwrap();
}

/// What a log may be told, with numbers that are taken relative to its ends.
#[derive(Debug, Clone)]
enum Step {
    Append(Vec<u16>),
    Truncate(usize),
    Purge(usize),
    Read(usize, usize),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop::collection::vec(0u16..3000, 1..8).prop_map(Step::Append),
        2 => (0usize..12).prop_map(Step::Truncate),
        2 => (0usize..12).prop_map(Step::Purge),
        3 => (0usize..20, 0usize..20).prop_map(|(skip, take)| Step::Read(skip, take)),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

type Log = VecDeque<Entry<Types<Table>>>;

fn open(folder: &TempDir) -> LogStore {
    Store::<Table>::open(folder.path(), CLUSTER).unwrap().log
}

async fn read(store: &mut LogStore, range: std::ops::Range<u64>) -> Log {
    store.try_get_log_entries(range).await.unwrap().into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The log in memory and on disk is what a plain list would be, also after reopening.
    #[test]
    fn the_log_is_a_list_with_two_ends(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = TempDir::new().unwrap();
            let mut store = open(&folder);
            let (mut model, mut first) = (Log::new(), 0);
            for (term, step) in (1..).zip(steps) {
                let end = first + model.len() as u64;
                match step {
                    Step::Append(sizes) => {
                        let entries: Vec<_> = (end..)
                            .zip(sizes)
                            .map(|(index, size)| Entry {
                                log_id: openraft::testing::log_id(term, NodeId(1), index),
                                payload: EntryPayload::Normal(Batch(vec![9; size.into()].into())),
                            })
                            .collect();
                        model.extend(entries.clone());
                        store.blocking_append(entries).await.unwrap();
                    }
                    Step::Truncate(back) if back > 0 && back <= model.len() => {
                        let since = model[model.len() - back].log_id;
                        model.truncate(model.len() - back);
                        RaftLogStorage::<Types<Table>>::truncate(&mut store, since).await.unwrap();
                    }
                    Step::Purge(count) if count > 0 && count <= model.len() => {
                        let upto = model[count - 1].log_id;
                        model.drain(..count);
                        first += count as u64;
                        RaftLogStorage::<Types<Table>>::purge(&mut store, upto).await.unwrap();
                    }
                    Step::Read(skip, take) => {
                        let from = first + skip as u64;
                        let got = read(&mut store, from..from + take as u64).await;
                        let expected: Log = model.iter().skip(skip).take(take).cloned().collect();
                        assert_eq!(got, expected);
                    }
                    // Only with a snapshot could a purged log be opened again.
                    Step::Reopen if first == 0 => {
                        store.close().await.unwrap();
                        drop(store);
                        store = open(&folder);
                    }
                    Step::Truncate(_) | Step::Purge(_) | Step::Reopen => {}
                }
                let state: LogState<Types<Table>> = store.get_log_state().await.unwrap();
                let last = model.back().map(|last| last.log_id).or(state.last_purged_log_id);
                assert_eq!(state.last_log_id, last);
                assert_eq!(state.last_purged_log_id.map_or(0, |at| at.index + 1), first);
                assert_eq!(read(&mut store, 0..u64::MAX).await, model);
            }
            store.close().await.unwrap();
        });
    }
}
