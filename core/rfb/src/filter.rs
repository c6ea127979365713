//! What a view-only viewer may say to the display server.
//!
//! An allow-list by message type: what asks for pixels passes, what would change anything is
//! dropped, what is unknown closes the connection. The display server enforces view-only too, by
//! the password that the relay logs in with; this filter also covers what it would let through.
//!
//! | type | message | |
//! |---|---|---|
//! | 0, 2, 3 | SetPixelFormat, SetEncodings, FramebufferUpdateRequest | pass |
//! | 150, 248 | EnableContinuousUpdates, ClientFence | pass |
//! | 4, 5, 6 | KeyEvent, PointerEvent, ClientCutText (extended too) | dropped |
//! | 250, 251, 253, 255 | xvp, SetDesktopSize, gii, QEMU | dropped |
//! | others | of unknown length, so nothing after them can be told | refused |
//!
//! One encoding changes the length of a client's messages in a way that these cannot tell:
//! ExtendedMouseButtons makes some PointerEvents a byte longer. So it is kept from the display
//! server, which then never offers it: in SetEncodings its place is taken by Raw, which every
//! viewer understands anyway.

use std::borrow::Cow;
use std::ops::Range;

use crate::gather::{u16_at, u32_at};

/// Why the connection must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A message whose length is not known.
    #[error("the viewer sent a message of unknown type {kind}")]
    UnknownType {
        /// Its type.
        kind: u8,
    },
    /// A QEMU message whose length is not known.
    #[error("the viewer sent a QEMU message of unknown type {kind}, operation {operation}")]
    UnknownQemu {
        /// Its type.
        kind: u8,
        /// Its operation, as far as its type has some.
        operation: u16,
    },
    /// An earlier call failed.
    #[error("the viewer was refused already")]
    Over,
}

/// Filters one viewer's stream after its handshake. Holds back three bytes at most.
#[derive(Debug)]
pub struct ViewOnlyFilter {
    state: State,
    /// The beginning of a message, as far as it is needed to tell the length, or of an encoding.
    head: [u8; HEAD],
    have: usize,
}

/// The longest beginning that is needed: type, padding, flags and length of a fence.
pub(crate) const HEAD: usize = 9;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Within a message's beginning.
    Head,
    /// Within the rest of a message, of which so many bytes are to come.
    Body { verdict: Verdict, left: u64 },
    /// Within the list of SetEncodings, of which so many are to come.
    Encodings { left: u16 },
    /// Refused.
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Pass,
    Drop,
}

/// What a message's beginning tells.
pub(crate) enum Told {
    /// So many bytes of it are needed to tell.
    Need(usize),
    /// So many bytes follow the beginning.
    Rest(u64),
    /// So many encodings follow the beginning.
    Encodings(u16),
}

const RAW: [u8; 4] = 0i32.to_be_bytes();
const EXTENDED_MOUSE_BUTTONS: [u8; 4] = (-316i32).to_be_bytes();

impl Default for ViewOnlyFilter {
    fn default() -> Self {
        Self::new()
    }
}

impl ViewOnlyFilter {
    /// A filter that waits for the first message.
    pub fn new() -> Self {
        Self { state: State::Head, head: [0; HEAD], have: 0 }
    }

    /// The part of `chunk` that may pass. Chunks may be cut anywhere. Where what passes is in one
    /// piece it is not copied.
    ///
    /// # Errors
    /// [`FilterError`]: close the connection. Nothing of this chunk is to be sent on.
    pub fn filter<'c>(&mut self, chunk: &'c [u8]) -> Result<Cow<'c, [u8]>, FilterError> {
        let mut out = Passing::of(chunk);
        let mut at = 0;
        while at < chunk.len() {
            match self.state {
                State::Head => {
                    let from = at;
                    let told =
                        self.head(chunk, &mut at).inspect_err(|_| self.state = State::Over)?;
                    if verdict(self.head[0]) == Some(Verdict::Pass) {
                        out.pass(from..at);
                    }
                    self.begin(told);
                }
                State::Body { verdict, left } => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len() - at);
                    if verdict == Verdict::Pass {
                        out.pass(at..at + here);
                    }
                    at += here;
                    self.body(verdict, left - here as u64);
                }
                State::Encodings { left } => self.encoding(left, chunk, &mut at, &mut out),
                State::Over => return Err(FilterError::Over),
            }
        }
        if self.state == State::Over { Err(FilterError::Over) } else { Ok(out.finish()) }
    }

    /// Takes bytes of the beginning until they tell the length, or the chunk ends.
    fn head(&mut self, chunk: &[u8], at: &mut usize) -> Result<Told, FilterError> {
        loop {
            let told = tell(&self.head[..self.have])?;
            let Told::Need(need) = told else { return Ok(told) };
            let here = (need - self.have).min(chunk.len() - *at);
            if here == 0 {
                return Ok(told);
            }
            self.head[self.have..self.have + here].copy_from_slice(&chunk[*at..*at + here]);
            self.have += here;
            *at += here;
        }
    }

    fn begin(&mut self, told: Told) {
        match told {
            Told::Need(_) => {}
            Told::Rest(left) => {
                let verdict = verdict(self.head[0]).unwrap_or(Verdict::Drop);
                self.have = 0;
                self.body(verdict, left);
            }
            Told::Encodings(left) => {
                self.have = 0;
                self.encodings(left);
            }
        }
    }

    fn body(&mut self, verdict: Verdict, left: u64) {
        self.state = if left == 0 { State::Head } else { State::Body { verdict, left } };
    }

    fn encodings(&mut self, left: u16) {
        self.state = if left == 0 { State::Head } else { State::Encodings { left } };
    }

    /// Passes one encoding, or as much of it as is here, whole or not at all.
    fn encoding(&mut self, left: u16, chunk: &[u8], at: &mut usize, out: &mut Passing<'_>) {
        let from = *at;
        let here = (4 - self.have).min(chunk.len() - from);
        let held = self.have;
        self.head[held..held + here].copy_from_slice(&chunk[from..from + here]);
        self.have += here;
        *at += here;
        if self.have < 4 {
            return;
        }
        self.have = 0;
        if self.head[..4] == EXTENDED_MOUSE_BUTTONS {
            out.push(&RAW);
        } else if held == 0 {
            out.pass(from..*at);
        } else {
            out.push(&self.head[..4]);
        }
        self.encodings(left - 1);
    }
}

/// What becomes of messages of this type; `None` if it is unknown.
fn verdict(kind: u8) -> Option<Verdict> {
    match kind {
        0 | 2 | 3 | 150 | 248 => Some(Verdict::Pass),
        4 | 5 | 6 | 250 | 251 | 253 | 255 => Some(Verdict::Drop),
        _ => None,
    }
}

/// How long the message is whose beginning this is.
pub(crate) fn tell(head: &[u8]) -> Result<Told, FilterError> {
    let Some(kind) = head.first() else { return Ok(Told::Need(1)) };
    let fixed = |whole: u64| Ok(Told::Rest(whole - head.len() as u64));
    match (*kind, head.len()) {
        (0, _) => fixed(20),
        (2, ..4) => Ok(Told::Need(4)),
        (2, _) => Ok(Told::Encodings(u16_at(head, 2))),
        (3 | 150, _) => fixed(10),
        (4, _) => fixed(8),
        (5, _) => fixed(6),
        (6, ..8) => Ok(Told::Need(8)),
        // Negative lengths are those of the extended clipboard.
        (6, _) => Ok(Told::Rest(u32_at(head, 4).cast_signed().unsigned_abs().into())),
        (248, ..9) => Ok(Told::Need(9)),
        (248, _) => Ok(Told::Rest(head[8].into())),
        (250, _) => fixed(4),
        (251, ..8) => Ok(Told::Need(8)),
        (251, _) => Ok(Told::Rest(16 * u64::from(head[6]))),
        (253, ..4) => Ok(Told::Need(4)),
        // The subtype's highest bit says which end of the length comes first.
        (253, _) if head[1] & 0x80 != 0 => Ok(Told::Rest(u16_at(head, 2).into())),
        (253, _) => Ok(Told::Rest(u16_at(head, 2).swap_bytes().into())),
        (255, ..4) => Ok(Told::Need(4)),
        (255, _) => match (head[1], u16_at(head, 2)) {
            (0, _) => fixed(12),
            (1, 0 | 1) => fixed(4),
            (1, 2) => fixed(10),
            (kind, operation) => Err(FilterError::UnknownQemu { kind, operation }),
        },
        (kind, _) => Err(FilterError::UnknownType { kind }),
    }
}

/// What passes of a chunk: a range of it, as long as it is in one piece, else a copy.
struct Passing<'c> {
    chunk: &'c [u8],
    piece: Range<usize>,
    copy: Option<Vec<u8>>,
}

impl<'c> Passing<'c> {
    fn of(chunk: &'c [u8]) -> Self {
        Self { chunk, piece: 0..0, copy: None }
    }

    fn pass(&mut self, range: Range<usize>) {
        match &mut self.copy {
            Some(copy) => copy.extend_from_slice(&self.chunk[range]),
            None if self.piece.is_empty() => self.piece = range,
            None if self.piece.end == range.start => self.piece.end = range.end,
            None => {
                let range = &self.chunk[range];
                self.push(range);
            }
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let piece = &self.chunk[self.piece.clone()];
        self.copy.get_or_insert_with(|| piece.to_vec()).extend_from_slice(bytes);
    }

    fn finish(self) -> Cow<'c, [u8]> {
        match self.copy {
            Some(copy) => Cow::Owned(copy),
            None => Cow::Borrowed(&self.chunk[self.piece]),
        }
    }
}

#[cfg(test)]
mod tests;
