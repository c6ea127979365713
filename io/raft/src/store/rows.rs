//! The statements. Each takes part in a transaction that its caller commits.

use std::ops::{ControlFlow, Range};

use bytes::Bytes;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row as SqlRow};

use super::schema::Identity;
use super::writer::Cause;
use crate::ids::{Ballot, Claim, NodeId, Position};
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

/// Looks at every entry: each has its checksum, and none is missing in between.
pub(super) fn verify(all: &Connection) -> Result<(), Cause> {
    let mut expected = mark(all, PURGED)?.map_or(0, |purged| purged.index + 1);
    scan(all, 0..u64::MAX, |row| {
        if row.index != expected {
            return Err(RecordFault::Missing { index: expected }.into());
        }
        expected += 1;
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
        let Position {
            term,
            leader,
            index,
        } = position(row)?;
        let body = Bytes::copy_from_slice(row.get_ref(4)?.as_blob().map_err(|cause| {
            rusqlite::Error::FromSqlConversionFailure(4, Type::Blob, Box::new(cause))
        })?);
        let kept = Row {
            index,
            term,
            leader: leader.0,
            kind: row.get(3)?,
            body,
        };
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
    of.prepare_cached("DELETE FROM log WHERE idx >= ?1")?
        .execute([since.cast_signed()])?;
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
    of.prepare_cached("INSERT OR REPLACE INTO ballot VALUES (1, ?1, ?2, ?3)")?
        .execute((
            ballot.term.cast_signed(),
            ballot.node.0.cast_signed(),
            ballot.committed,
        ))?;
    Ok(())
}

pub(super) fn ballot(of: &Connection) -> rusqlite::Result<Option<Ballot>> {
    of.query_row("SELECT term, node, committed FROM ballot", (), |row| {
        let term = row.get::<_, i64>(0)?.cast_unsigned();
        let node = NodeId(row.get::<_, i64>(1)?.cast_unsigned());
        Ok(Ballot {
            term,
            node,
            committed: row.get(2)?,
        })
    })
    .optional()
}

pub(super) fn set_mark(of: &Connection, name: &str, at: Position) -> rusqlite::Result<()> {
    of.prepare_cached("INSERT OR REPLACE INTO mark VALUES (?1, ?2, ?3, ?4)")?
        .execute((
            name,
            at.term.cast_signed(),
            at.leader.0.cast_signed(),
            at.index.cast_signed(),
        ))?;
    Ok(())
}

pub(super) fn mark(of: &Connection, name: &str) -> rusqlite::Result<Option<Position>> {
    of.query_row(
        "SELECT term, leader, idx FROM mark WHERE name = ?1",
        [name],
        position,
    )
    .optional()
}

pub(super) fn set_claim(of: &Connection, claim: Claim) -> rusqlite::Result<()> {
    of.prepare_cached("UPDATE identity SET generation = ?1, claimant = ?2")?
        .execute((
            claim.generation.cast_signed(),
            claim.claimant.0.cast_signed(),
        ))?;
    Ok(())
}

pub(super) fn identity(of: &Connection) -> rusqlite::Result<Identity> {
    of.query_row(
        "SELECT cluster, node, generation, claimant FROM identity",
        (),
        |row| {
            let cluster = row
                .get::<_, String>(0)?
                .parse()
                .map_err(|cause: uuid::Error| {
                    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(cause))
                })?;
            let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
            let claim = Claim {
                generation: number(2)?,
                claimant: NodeId(number(3)?),
            };
            Ok(Identity {
                cluster,
                node: NodeId(number(1)?),
                claim,
            })
        },
    )
}

/// The first three columns: term, leader, index.
pub(super) fn position(row: &SqlRow<'_>) -> rusqlite::Result<Position> {
    let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
    Ok(Position {
        term: number(0)?,
        leader: NodeId(number(1)?),
        index: number(2)?,
    })
}
