//! The log's end in memory: what replication and apply read, as a rule, without the database.

use std::collections::VecDeque;
use std::ops::Range;

use super::writer::Marks;
use crate::ids::{Ballot, Position};
use crate::record::{Body, Record};

/// Bodies kept, in bytes. A follower that is further behind is served from the database.
const KEEP: usize = 16 << 20;

/// What is known of the log without asking the database, and its newest entries.
#[derive(Debug, Default)]
pub(super) struct Tail {
    pub(super) ballot: Option<Ballot>,
    pub(super) committed: Option<Position>,
    pub(super) purged: Option<Position>,
    pub(super) last: Option<Position>,
    /// INVARIANT: consecutive, ending at `last`; empty if `last` is purged or was never read.
    recent: VecDeque<Record>,
    bytes: usize,
}

impl Tail {
    pub(super) fn new(marks: Marks) -> Self {
        let Marks { ballot, committed, purged, last } = marks;
        Self { ballot, committed, purged, last, ..Self::default() }
    }

    pub(super) fn append(&mut self, records: &[Record]) {
        for record in records {
            self.bytes += weight(record);
            self.last = Some(record.position);
            self.recent.push_back(record.clone());
        }
        // The database gets its jobs in order, so it can already answer for what is dropped here.
        while self.bytes > KEEP && self.recent.len() > 1 {
            self.drop_first();
        }
    }

    /// Entries of `range` until their bodies exceed `bytes`, the first in any case. `None` if only the
    /// database knows.
    pub(super) fn read(&self, range: &Range<u64>, bytes: usize) -> Option<Vec<Record>> {
        let first_kept = self.recent.front().map(|record| record.position.index);
        let start = range.start.max(self.purged.map_or(0, |purged| purged.index + 1));
        let end = range.end.min(self.last.map_or(0, |last| last.index + 1));
        if start >= end {
            return Some(Vec::new());
        }
        let skip = start.checked_sub(first_kept?)? as usize;
        let mut total = 0;
        let within = |(n, record): &(usize, &Record)| {
            total += weight(record);
            *n == 0 || total <= bytes
        };
        let wanted = self.recent.iter().skip(skip).take((end - start) as usize);
        Some(wanted.enumerate().take_while(within).map(|(_, record)| record.clone()).collect())
    }

    /// Forgets `since` and all after it. `last` must be set anew by whoever knows it if this says so.
    #[must_use]
    pub(super) fn truncate(&mut self, since: u64) -> LastAfterTruncate {
        if self.last.is_none_or(|last| last.index < since) {
            return LastAfterTruncate::Known;
        }
        while let Some(record) = self.recent.pop_back_if(|last| last.position.index >= since) {
            self.bytes -= weight(&record);
        }
        if let Some(last) = self.recent.back() {
            self.last = Some(last.position);
            LastAfterTruncate::Known
        } else if since == 0 || self.purged.is_some_and(|purged| purged.index + 1 >= since) {
            self.last = self.purged;
            LastAfterTruncate::Known
        } else {
            LastAfterTruncate::At(since - 1)
        }
    }

    /// Forgets `upto` and all before it.
    pub(super) fn purge(&mut self, upto: Position) {
        self.purged = Some(upto);
        if self.last < Some(upto) {
            self.last = Some(upto);
        }
        while self.recent.front().is_some_and(|first| first.position.index <= upto.index) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(record) = self.recent.pop_front() {
            self.bytes -= weight(&record);
        }
    }
}

/// Whether the log's end is known after a truncation, or which entry in the database is it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LastAfterTruncate {
    Known,
    At(u64),
}

fn weight(record: &Record) -> usize {
    match &record.body {
        Body::Commands(bytes) => bytes.len(),
        Body::Blank | Body::Members(_) => 0,
    }
}
