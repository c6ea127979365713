//! The table as the consensus engine replicates it: commands and snapshots as protobuf.

use std::io::{self, BufRead, BufReader, Read, Write};

use abide_model::{Change, Command, Outcome, Part, Table};
use abide_raft::{DecodeError, EncodeError, Machine, RestoreError};
use abide_wire::{ConvertError, check_command, read_command, table, write_command};
use prost::Message;

/// A part is some hundred bytes, and never larger than the command that brought it, which the engine
/// bounds at 2 MiB. A length far beyond that is damage.
const MAX_PART: u64 = 8 << 20;

/// A [`Table`] that is replicated.
#[derive(Debug, Clone, Default)]
pub struct Replica(pub Table);

/// A snapshot that ends too early, or goes on too long.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("it has {found} parts instead of {promised}")]
    Count { promised: u64, found: u64 },
    #[error("a part of {0} bytes")]
    Huge(u64),
}

impl Machine for Replica {
    type Command = Command;
    type Outcome = Outcome;

    fn encode(&self, command: &Command) -> Result<Vec<u8>, EncodeError> {
        write_command(command, self.0.wire()).map_err(|cause| EncodeError(cause.to_string()))
    }

    fn decode(bytes: &[u8]) -> Result<Command, DecodeError> {
        read_command(bytes).map_err(|cause| DecodeError(cause.into()))
    }

    fn check(bytes: &[u8]) -> Result<(), DecodeError> {
        check_command(bytes).map_err(|cause| DecodeError(cause.into()))
    }

    /// Everything but what begins something new: facts, ends, and what a login's end gives back.
    fn is_essential(command: &Command) -> bool {
        !matches!(
            command.change,
            Change::Reserve { .. }
                | Change::Resume { .. }
                | Change::SetConfig { .. }
                | Change::AddJoinToken { .. }
                | Change::AdmitAgent { .. }
                | Change::AdmitBroker { .. }
        )
    }

    fn apply(&mut self, command: Command) -> Outcome {
        self.0.apply(command)
    }

    fn freeze(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut buffer = Vec::new();
        let mut write = |part: table::part::Part| {
            buffer.clear();
            let part = table::Part { part: Some(part) };
            part.encode_length_delimited(&mut buffer).map_err(io::Error::other)?;
            out.write_all(&buffer)
        };
        let mut parts = 0;
        for part in self.0.parts() {
            write((&part).into())?;
            parts += 1;
        }
        write(table::part::Part::Last(table::Last { parts }))
    }

    fn restore(from: &mut dyn Read) -> Result<Self, RestoreError> {
        let mut from = BufReader::new(from);
        let (mut table, mut found) = (Table::default(), 0);
        loop {
            match read_part(&mut from)?.part {
                Some(table::part::Part::Last(last)) if last.parts == found => break,
                Some(table::part::Part::Last(last)) => {
                    let cut = Cut::Count { promised: last.parts, found };
                    return Err(RestoreError(cut.into()));
                }
                Some(part) => {
                    let part = Part::try_from(part).map_err(|cause| RestoreError(cause.into()))?;
                    table.add(part).map_err(|cause| RestoreError(cause.into()))?;
                    found += 1;
                }
                None => {
                    let cause = ConvertError::Missing("a part this version knows");
                    return Err(RestoreError(cause.into()));
                }
            }
        }
        Ok(Self(table))
    }
}

fn read_part(from: &mut impl BufRead) -> Result<table::Part, RestoreError> {
    let mut length = 0_u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        length |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] < 0x80 {
            break;
        }
    }
    if length > MAX_PART {
        return Err(RestoreError(Cut::Huge(length).into()));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    from.read_exact(&mut bytes)?;
    table::Part::decode(bytes.as_slice()).map_err(|cause| RestoreError(cause.into()))
}

#[cfg(test)]
mod tests;
