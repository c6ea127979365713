//! The store under openraft's own suite.

use openraft::StorageIOError;
use openraft::testing::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::{CLUSTER, Table};
use crate::state::State;
use crate::store::{LogStore, Store};
use crate::types::{StorageFault, Types};

struct Builder;

impl StoreBuilder<Types<Table>, LogStore, State<Table>, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, State<Table>), StorageFault> {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path(), CLUSTER)
            .map_err(|cause| StorageIOError::read(openraft::AnyError::new(&cause)))?;
        let state = State::new(Table::default(), store.machine, store.snapshots);
        Ok((folder, store.log, state))
    }
}

#[test]
fn openrafts_own_suite_passes() {
    Suite::test_all(Builder).unwrap();
}
