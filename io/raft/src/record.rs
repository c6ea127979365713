//! One entry of the log, as it is stored and sent.

use bytes::Bytes;

use crate::batch::Batch;
use crate::ids::{Members, Position};
use crate::machine::{DecodeError, Machine};

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub position: Position,
    /// What it says.
    pub body: Body,
}

impl Record {
    /// Whether this version reads its commands, and what comes after them.
    pub(crate) fn check<M: Machine>(&self) -> Result<(), DecodeError> {
        match &self.body {
            // One that is cut short is of no version: it is told as such when it is applied.
            Body::Commands(batch) => {
                Batch(batch.clone()).commands().flatten().try_for_each(|it| M::check(&it))
            }
            Body::Blank | Body::Members(_) => Ok(()),
        }
    }
}

/// What a log entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Nothing: a new leader's first entry, whose commit commits all before it.
    Blank,
    /// A batch of commands.
    Commands(Bytes),
    /// Who belongs to the group from here on.
    Members(Members),
}

/// A stored entry cannot be read back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordFault {
    #[error("log entry {index} is damaged: its checksum is wrong")]
    Checksum { index: u64 },
    #[error("the {table} is damaged: its checksum is wrong")]
    Row { table: &'static str },
    #[error("log entry {index} cannot be read by this version")]
    Version {
        index: u64,
        #[source]
        cause: DecodeError,
    },
    #[error("log entry {index} is missing")]
    Missing { index: u64 },
    #[error("log entry {index} is of a kind this version does not know: {kind}")]
    Kind { index: u64, kind: i64 },
    #[error("log entry {index} names its members in a way this version does not know")]
    Members {
        index: u64,
        #[source]
        cause: serde_json::Error,
    },
}

/// The columns of an entry in the log's table. FROZEN: format 1.
///
/// `kind` 0: blank, 1: a batch of commands, 2: members, as JSON.
pub(crate) struct Row {
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) leader: u64,
    pub(crate) kind: i64,
    pub(crate) body: Bytes,
}

impl Row {
    /// Over everything that the row says, so that a flipped bit anywhere is found. SQLite checks
    /// its structure only.
    pub(crate) fn checksum(&self) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        for number in [self.index, self.term, self.leader, self.kind.cast_unsigned()] {
            sum.update(&number.to_le_bytes());
        }
        sum.update(&self.body);
        sum.finalize()
    }
}

impl From<&Record> for Row {
    fn from(record: &Record) -> Self {
        let (kind, body) = match &record.body {
            Body::Blank => (0, Bytes::new()),
            Body::Commands(bytes) => (1, bytes.clone()),
            Body::Members(members) => (2, json(members)),
        };
        let Position { term, leader, index } = record.position;
        Self { index, term, leader: leader.0, kind, body }
    }
}

impl TryFrom<Row> for Record {
    type Error = RecordFault;

    fn try_from(row: Row) -> Result<Self, RecordFault> {
        let index = row.index;
        let body = match row.kind {
            0 => Body::Blank,
            1 => Body::Commands(row.body),
            2 => Body::Members(
                serde_json::from_slice(&row.body)
                    .map_err(|cause| RecordFault::Members { index, cause })?,
            ),
            kind => return Err(RecordFault::Kind { index, kind }),
        };
        let position = Position { term: row.term, leader: row.leader.into(), index };
        Ok(Self { position, body })
    }
}

fn json(members: &Members) -> Bytes {
    serde_json::to_vec(members).expect("members are plain data with string keys").into()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::ids::{NodeId, Peer};

    #[test]
    fn every_kind_of_entry_comes_back_as_it_was() {
        let peer = Peer { address: "127.0.0.1:1".into(), ..Peer::default() };
        let members = Members {
            voters: vec![BTreeSet::from([NodeId(7)])],
            nodes: BTreeMap::from([(NodeId(7), peer)]),
        };
        for body in [Body::Blank, Body::Commands(Bytes::from("x")), Body::Members(members)] {
            let position = Position { term: 3, leader: NodeId(7), index: 9 };
            let record = Record { position, body };
            assert_eq!(Record::try_from(Row::from(&record)).unwrap(), record);
        }
    }

    #[test]
    fn the_checksum_covers_every_column() {
        let row = || Row { index: 1, term: 2, leader: 3, kind: 1, body: Bytes::from("body") };
        let sums = [
            row(),
            Row { index: 2, ..row() },
            Row { term: 3, ..row() },
            Row { leader: 4, ..row() },
            Row { kind: 0, ..row() },
            Row { body: Bytes::from("bodz"), ..row() },
        ]
        .map(|row| row.checksum());
        assert_eq!(BTreeSet::from(sums).len(), sums.len());
    }
}
