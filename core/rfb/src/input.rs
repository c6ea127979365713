//! Whether a viewer's person does something: a key, the pointer, a clipboard that is handed over.
//!
//! Reads along and changes nothing. What cannot be read, since its length is unknown, counts as input from
//! then on: whoever asks wants to know when nobody is there, and must not be told so of somebody.

use crate::filter::{HEAD, Told, tell};

const KEY: u8 = 4;
const POINTER: u8 = 5;
const CUT_TEXT: u8 = 6;
const GII: u8 = 253;
const QEMU: u8 = 255;

/// With it a PointerEvent whose highest button bit is set has one more byte.
const EXTENDED_MOUSE_BUTTONS: [u8; 4] = (-316i32).to_be_bytes();

/// Reads along with one viewer's stream after its handshake.
#[derive(Debug)]
pub struct InputSpotter {
    state: State,
    /// The beginning of a message, as far as it is needed, or of an encoding.
    head: [u8; HEAD],
    have: usize,
    has_extended_buttons: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Within a message's beginning.
    Head,
    /// Within the rest of one.
    Body { left: u64 },
    /// Within the list of SetEncodings.
    Encodings { left: u16 },
    /// It is not known where messages begin.
    Lost,
}

impl Default for InputSpotter {
    fn default() -> Self {
        Self::new()
    }
}

impl InputSpotter {
    /// One that waits for the first message.
    pub fn new() -> Self {
        Self { state: State::Head, head: [0; HEAD], have: 0, has_extended_buttons: false }
    }

    /// Whether there is input in `chunk`, which may be cut anywhere.
    pub fn sees(&mut self, chunk: &[u8]) -> bool {
        let (mut rest, mut found) = (chunk, false);
        loop {
            let before = (self.state, self.have, rest.len());
            match self.state {
                State::Lost => return found || !chunk.is_empty(),
                State::Body { left } => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    rest = &rest[here..];
                    self.body(left - here as u64);
                }
                State::Encodings { left } => {
                    if self.gather(&mut rest, 4) {
                        self.has_extended_buttons |= self.head[..4] == EXTENDED_MOUSE_BUTTONS;
                        self.have = 0;
                        self.encodings(left - 1);
                    }
                }
                State::Head => found |= self.head(&mut rest),
            }
            if before == (self.state, self.have, rest.len()) {
                return found;
            }
        }
    }

    /// Goes on in a message's beginning; whether it is input.
    fn head(&mut self, rest: &mut &[u8]) -> bool {
        let told = match tell(&self.head[..self.have]) {
            Ok(told) => told,
            Err(_) => {
                self.state = State::Lost;
                return true;
            }
        };
        match told {
            Told::Need(need) => {
                self.gather(rest, need);
                false
            }
            Told::Encodings(left) => {
                self.have = 0;
                self.encodings(left);
                false
            }
            // The buttons must be known first.
            Told::Rest(_) if self.head[0] == POINTER && self.have < 2 => {
                self.gather(rest, 2);
                false
            }
            Told::Rest(left) => {
                let is_longer = self.head[0] == POINTER
                    && self.has_extended_buttons
                    && self.head[1] & 0x80 != 0;
                let is_input = self.is_input();
                self.have = 0;
                self.body(left + u64::from(is_longer));
                is_input
            }
        }
    }

    /// Viewers speak of an extended clipboard, with a negative length, also by themselves.
    fn is_input(&self) -> bool {
        match self.head[0] {
            KEY | POINTER | GII | QEMU => true,
            CUT_TEXT => self.head[4] & 0x80 == 0,
            _ => false,
        }
    }

    /// Takes bytes until it has so many; whether it has.
    fn gather(&mut self, rest: &mut &[u8], need: usize) -> bool {
        let here = need.saturating_sub(self.have).min(rest.len());
        self.head[self.have..self.have + here].copy_from_slice(&rest[..here]);
        self.have += here;
        *rest = &rest[here..];
        self.have >= need
    }

    fn body(&mut self, left: u64) {
        self.state = if left == 0 { State::Head } else { State::Body { left } };
    }

    fn encodings(&mut self, left: u16) {
        self.state = if left == 0 { State::Head } else { State::Encodings { left } };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{KeyState, Rect, Update, key_event, pointer_event, set_encodings, update_request};

    /// Messages, and whether each is input.
    fn messages() -> Vec<(Vec<u8>, bool)> {
        let ask = update_request(Update::Incremental, Rect { x: 0, y: 0, width: 9, height: 9 });
        vec![
            (set_encodings(&[0, -316]), false),
            (ask.clone(), false),
            (key_event(KeyState::Down, 0x61), true),
            (ask, false),
            (pointer_event(0, 3, 4), true),
            // The eighth button, with the extension's further byte.
            (vec![5, 0x81, 0, 1, 0, 1, 2], true),
            (vec![6, 0, 0, 0, 0, 0, 0, 2, b'h', b'i'], true),
            (vec![6, 0, 0, 0, 0xff, 0xff, 0xff, 0xfc, 1, 0, 0, 0], false),
            (vec![248, 0, 0, 0, 0, 0, 0, 1, 2, 7, 7], false),
            (vec![150, 1, 0, 0, 0, 0, 0, 9, 0, 9], false),
        ]
    }

    #[test]
    fn only_what_a_person_does_is_input() {
        let mut spotter = InputSpotter::new();
        for (message, is_input) in messages() {
            assert_eq!(spotter.sees(&message), is_input, "{message:?}");
        }
        assert!(!spotter.sees(&[]));
    }

    #[test]
    fn what_cannot_be_read_counts_as_input_for_ever() {
        let mut spotter = InputSpotter::new();
        assert!(spotter.sees(&[77]));
        assert!(spotter.sees(&[3, 0]));
        assert!(!spotter.sees(&[]));
    }

    proptest! {
        /// However the stream is cut, as much input is found in the same messages.
        #[test]
        fn where_the_stream_is_cut_makes_no_difference(cuts in prop::collection::vec(1usize..9, 1..40)) {
            let mut spotter = InputSpotter::new();
            let mut cuts = cuts.into_iter().cycle();
            for (message, is_input) in messages() {
                let (mut rest, mut found) = (&message[..], false);
                while !rest.is_empty() {
                    let (chunk, later) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
                    found |= spotter.sees(chunk);
                    rest = later;
                }
                prop_assert_eq!(found, is_input, "{:?}", message);
            }
        }
    }
}
