//! The state that a data folder holds on which no node runs any more.

use std::path::Path;

use uuid::Uuid;

use super::schema::OpenError;
use super::snapshot::{Snapshots, Work};
use super::{DATABASE, rows, schema, take_lock};
use crate::batch::Batch;
use crate::machine::Machine;
use crate::record::Body;

/// Entries that are read at once, in bytes.
const CHUNK: usize = 1 << 20;

/// What such a folder holds: its snapshot, and all that its log has beyond it, whether or not a majority ever
/// confirmed that. Takes as long as reading it does.
///
/// # Errors
/// [`OpenError`].
pub fn read_folder<M: Machine>(empty: M, folder: &Path, cluster: Uuid) -> Result<M, OpenError> {
    let _lock = take_lock(folder)?;
    let database = folder.join(DATABASE);
    let damaged = |cause: &dyn std::error::Error| OpenError::damaged(&database, cause.to_string());
    let (snapshots, machine) = Snapshots::open::<M>(folder, Work::Apart)?;
    let (connection, ..) = schema::open::<M>(&database, cluster)?;
    let mut machine = machine.unwrap_or(empty);
    let covered = snapshots.header().and_then(|header| header.last);
    let mut next = covered.map_or(0, |last| last.index + 1);
    loop {
        let records = rows::read(&connection, next..u64::MAX, CHUNK);
        let records = records.map_err(|cause| damaged(&cause))?;
        let Some(last) = records.last() else { return Ok(machine) };
        next = last.position.index + 1;
        for record in records {
            let Body::Commands(bytes) = record.body else { continue };
            for command in Batch(bytes).commands() {
                let command = command.map_err(|cause| damaged(&cause))?;
                machine.apply(M::decode(&command).map_err(|cause| damaged(&cause))?);
            }
        }
    }
}
