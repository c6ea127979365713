//! One log entry's worth of commands: each as its length (u32, little endian) and its bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

/// Commands in one log entry, at most.
pub(crate) const MOST_COMMANDS: usize = 512;
/// Bytes in one log entry, at most, unless a single command is larger. Small enough that an append
/// of a few entries stays below a gRPC message's 4 MiB.
pub(crate) const MOST_BYTES: usize = 1 << 20;

/// The encoded commands of one log entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batch(pub(crate) Bytes);

/// A logged batch is not what was written: lengths and contents disagree.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a logged batch of commands is cut short")]
pub(crate) struct CutShort;

impl Batch {
    /// The commands, in order.
    pub(crate) fn commands(&self) -> impl Iterator<Item = Result<Bytes, CutShort>> {
        let mut rest = self.0.clone();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let length = rest.try_get_u32_le().map_or(usize::MAX, |n| n as usize);
            if length > rest.len() {
                rest.clear();
                return Some(Err(CutShort));
            }
            Some(Ok(rest.split_to(length)))
        })
    }
}

/// Gathers commands until the next one would not fit.
#[derive(Default)]
pub(crate) struct Gathering {
    bytes: BytesMut,
    count: usize,
}

impl Gathering {
    /// Whether a command of `length` bytes still belongs into this batch.
    pub(crate) fn has_room_for(&self, length: usize) -> bool {
        self.count == 0 || self.count < MOST_COMMANDS && self.bytes.len() + 4 + length <= MOST_BYTES
    }

    /// Adds one command. It must be shorter than 4 GiB, which the proposer has checked.
    pub(crate) fn push(&mut self, command: &[u8]) {
        self.bytes.put_u32_le(command.len() as u32);
        self.bytes.put_slice(command);
        self.count += 1;
    }

    pub(crate) fn finish(self) -> Batch {
        Batch(self.bytes.freeze())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_gathered_comes_out(commands: Vec<Vec<u8>>) {
            let mut gathering = Gathering::default();
            commands.iter().for_each(|c| gathering.push(c));
            let back: Result<Vec<_>, _> = gathering.finish().commands().collect();
            prop_assert_eq!(back.unwrap(), commands);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let length = bytes.len();
            let read: usize =
                Batch(bytes.into()).commands().map(|c| c.map_or(0, |c| c.len() + 4)).sum();
            prop_assert!(read <= length);
        }
    }

    #[test]
    fn a_batch_is_bounded_by_count_and_by_bytes_but_takes_one_of_any_size() {
        let mut full = Gathering::default();
        assert!(full.has_room_for(MOST_BYTES * 2));
        for _ in 0..MOST_COMMANDS {
            assert!(full.has_room_for(1));
            full.push(b"x");
        }
        assert!(!full.has_room_for(1));

        let mut heavy = Gathering::default();
        heavy.push(&vec![0; MOST_BYTES - 8]);
        assert!(heavy.has_room_for(0));
        assert!(!heavy.has_room_for(1));
    }
}
