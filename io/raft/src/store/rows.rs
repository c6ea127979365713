//! The statements. Each takes part in a transaction that its caller commits.

use std::ops::{ControlFlow, Range};

use bytes::Bytes;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row as SqlRow};

use super::schema::Identity;
use super::writer::Cause;
use crate::ids::{Ballot, Claim, NodeId, Position};
use crate::machine::Machine;
use crate::record::{Record, RecordFault, Row};

/// The last entry known to be committed. May lag behind.
pub(super) const COMMITTED: &str = "committed";
/// The last entry that the log need not hold any more.
pub(super) const PURGED: &str = "purged";

pub(super) fn append(to: &Connection, records: &[Record]) -> rusqlite::Result<()> {
    let mut insert = to.prepare_cached("INSERT INTO log VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for record in records {
        let row = Row::from(record);
        insert.execute((
            row.index.cast_signed(),
            row.term.cast_signed(),
            row.leader.cast_signed(),
            row.kind,
            &*row.body,
            row.checksum(),
        ))?;
    }
    Ok(())
}

/// Entries of `range` that are there, until their bodies exceed `bytes`; the first in any case.
pub(super) fn read(
    from: &Connection,
    range: Range<u64>,
    bytes: usize,
) -> Result<Vec<Record>, Cause> {
    let (mut records, mut total) = (Vec::new(), 0);
    scan(from, range, |row| {
        total += row.body.len();
        if total > bytes && !records.is_empty() {
            return Ok(ControlFlow::Break(()));
        }
        records.push(row.try_into()?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(records)
}

/// Looks at every entry: each has its checksum, none is missing in between, and this version reads its
/// commands.
pub(super) fn verify<M: Machine>(all: &Connection) -> Result<(), Cause> {
    let mut expected = mark(all, PURGED)?.map_or(0, |purged| purged.index + 1);
    scan(all, 0..u64::MAX, |row| {
        if row.index != expected {
            return Err(RecordFault::Missing { index: expected }.into());
        }
        expected += 1;
        let (index, record) = (row.index, Record::try_from(row)?);
        record.check::<M>().map_err(|cause| RecordFault::Version { index, cause })?;
        Ok(ControlFlow::Continue(()))
    })
}

/// Every entry of `range` that is there and not purged, in order, its checksum proven.
fn scan(
    from: &Connection,
    range: Range<u64>,
    mut each: impl FnMut(Row) -> Result<ControlFlow<()>, Cause>,
) -> Result<(), Cause> {
    let mut select = from.prepare_cached(
        "SELECT term, leader, idx, kind, body, checksum FROM log
         WHERE idx >= ?1 AND idx < ?2
           AND idx > (SELECT coalesce(max(idx), -1) FROM mark WHERE name = 'purged')
         ORDER BY idx",
    )?;
    let end = range.end.min(i64::MAX as u64);
    let mut rows = select.query((range.start.cast_signed(), end.cast_signed()))?;
    while let Some(row) = rows.next()? {
        let Position { term, leader, index } = position(row)?;
        let body = Bytes::copy_from_slice(row.get_ref(4)?.as_blob().map_err(|cause| {
            rusqlite::Error::FromSqlConversionFailure(4, Type::Blob, Box::new(cause))
        })?);
        let kept = Row { index, term, leader: leader.0, kind: row.get(3)?, body };
        if row.get::<_, u32>(5)? != kept.checksum() {
            return Err(RecordFault::Checksum { index }.into());
        }
        if each(kept)?.is_break() {
            return Ok(());
        }
    }
    Ok(())
}

pub(super) fn truncate(of: &Connection, since: u64) -> rusqlite::Result<()> {
    of.prepare_cached("DELETE FROM log WHERE idx >= ?1")?.execute([since.cast_signed()])?;
    Ok(())
}

/// Deletes at most `most` rows up to this index, oldest first; says how many.
pub(super) fn delete_purged(of: &Connection, upto: u64, most: usize) -> rusqlite::Result<usize> {
    of.prepare_cached(
        "DELETE FROM log WHERE idx IN (SELECT idx FROM log WHERE idx <= ?1 ORDER BY idx LIMIT ?2)",
    )?
    .execute((upto.cast_signed(), most as i64))
}

pub(super) fn set_ballot(of: &Connection, ballot: Ballot) -> rusqlite::Result<()> {
    of.prepare_cached("INSERT OR REPLACE INTO ballot VALUES (1, ?1, ?2, ?3, ?4)")?.execute((
        ballot.term.cast_signed(),
        ballot.node.0.cast_signed(),
        ballot.committed,
        checksum([ballot.term, ballot.node.0, ballot.committed.into()]),
    ))?;
    Ok(())
}

pub(super) fn ballot(of: &Connection) -> Result<Option<Ballot>, Cause> {
    let read = of.query_row("SELECT term, node, committed, checksum FROM ballot", (), |row| {
        let ballot =
            Ballot { term: number(row, 0)?, node: NodeId(number(row, 1)?), committed: row.get(2)? };
        Ok((ballot, row.get::<_, u32>(3)?))
    });
    let Some((ballot, sum)) = read.optional()? else {
        return Ok(None);
    };
    prove("ballot", sum, [ballot.term, ballot.node.0, ballot.committed.into()])?;
    Ok(Some(ballot))
}

pub(super) fn set_mark(of: &Connection, name: &str, at: Position) -> rusqlite::Result<()> {
    of.prepare_cached("INSERT OR REPLACE INTO mark VALUES (?1, ?2, ?3, ?4, ?5)")?.execute((
        name,
        at.term.cast_signed(),
        at.leader.0.cast_signed(),
        at.index.cast_signed(),
        checksum([at.term, at.leader.0, at.index]),
    ))?;
    Ok(())
}

pub(super) fn mark(of: &Connection, name: &str) -> Result<Option<Position>, Cause> {
    let query = "SELECT term, leader, idx, checksum FROM mark WHERE name = ?1";
    let read = of.query_row(query, [name], |row| Ok((position(row)?, row.get::<_, u32>(3)?)));
    let Some((at, sum)) = read.optional()? else {
        return Ok(None);
    };
    prove("mark", sum, [at.term, at.leader.0, at.index])?;
    Ok(Some(at))
}

/// The last entry that stands in the table, purged or not.
pub(super) fn last(of: &Connection) -> rusqlite::Result<Option<Position>> {
    let query = "SELECT term, leader, idx FROM log ORDER BY idx DESC LIMIT 1";
    of.query_row(query, (), position).optional()
}

/// Of the tables with one row: `identity` has exactly one.
pub(super) fn set_identity(of: &Connection, identity: Identity) -> rusqlite::Result<()> {
    let Identity { cluster, node, claim } = identity;
    of.prepare_cached("INSERT OR REPLACE INTO identity VALUES (1, ?1, ?2, ?3, ?4, ?5)")?.execute(
        (
            cluster.to_string(),
            node.0.cast_signed(),
            claim.generation.cast_signed(),
            claim.claimant.0.cast_signed(),
            checksum(numbers(&identity)),
        ),
    )?;
    Ok(())
}

pub(super) fn identity(of: &Connection) -> Result<Identity, Cause> {
    let query = "SELECT cluster, node, generation, claimant, checksum FROM identity";
    let (identity, sum) = of.query_row(query, (), |row| {
        let cluster = row.get::<_, String>(0)?.parse().map_err(|cause: uuid::Error| {
            rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(cause))
        })?;
        let claim = Claim { generation: number(row, 2)?, claimant: NodeId(number(row, 3)?) };
        Ok((Identity { cluster, node: NodeId(number(row, 1)?), claim }, row.get::<_, u32>(4)?))
    })?;
    prove("identity", sum, numbers(&identity))?;
    Ok(identity)
}

fn numbers(identity: &Identity) -> [u64; 5] {
    let (high, low) = identity.cluster.as_u64_pair();
    let Claim { generation, claimant } = identity.claim;
    [high, low, identity.node.0, generation, claimant.0]
}

/// SQLite checks its structure, not its contents; every row of ours proves its own.
fn checksum<const N: usize>(numbers: [u64; N]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    numbers.iter().for_each(|number| sum.update(&number.to_le_bytes()));
    sum.finalize()
}

fn prove<const N: usize>(table: &'static str, sum: u32, of: [u64; N]) -> Result<(), RecordFault> {
    if sum == checksum(of) { Ok(()) } else { Err(RecordFault::Row { table }) }
}

fn number(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

/// The first three columns: term, leader, index.
pub(super) fn position(row: &SqlRow<'_>) -> rusqlite::Result<Position> {
    let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
    Ok(Position { term: number(0)?, leader: NodeId(number(1)?), index: number(2)? })
}
