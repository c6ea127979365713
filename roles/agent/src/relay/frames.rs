//! WebSocket frames (RFC 6455, section 5), the server's part, for a stream of bytes.
//!
//! RFB does not care where messages begin, so neither does this: a frame's bytes are handed on as they
//! come, however long it says it is. That is why no library is used here: those at hand gather
//! whole messages, and copy what they send once more.

/// What a header takes at most when the server sends.
pub(crate) const HEADER: usize = 10;
/// Longer control frames are not allowed.
pub(crate) const CONTROL: usize = 125;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Binary,
    Close,
    Ping,
    Pong,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Kind::Binary => 0x2,
            Kind::Close => 0x8,
            Kind::Ping => 0x9,
            Kind::Pong => 0xa,
        }
    }
}

/// Writes the header of a whole message of `length` bytes to the end of `room`; gives where it
/// begins.
pub(crate) fn header(room: &mut [u8; HEADER], kind: Kind, length: usize) -> usize {
    let first = 0x80 | kind.code();
    match length {
        0..=125 => {
            room[8..].copy_from_slice(&[first, length as u8]);
            8
        }
        126..=0xffff => {
            room[6..8].copy_from_slice(&[first, 126]);
            room[8..].copy_from_slice(&(length as u16).to_be_bytes());
            6
        }
        _ => {
            room[..2].copy_from_slice(&[first, 127]);
            room[2..].copy_from_slice(&(length as u64).to_be_bytes());
            0
        }
    }
}

/// A whole control frame. What does not fit is cut off.
pub(crate) fn control(kind: Kind, content: &[u8]) -> Vec<u8> {
    let content = &content[..content.len().min(CONTROL)];
    let mut room = [0; HEADER];
    let start = header(&mut room, kind, content.len());
    [&room[start..], content].concat()
}

/// A close frame.
pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    control(Kind::Close, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// Why a client is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("the client broke the rules of WebSocket")]
    Protocol,
    #[error("the client sent text; RFB is binary")]
    Text,
}

/// Something that a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'b> {
    /// Bytes of the stream.
    Data(&'b [u8]),
    /// To be answered with the same content.
    Ping(Vec<u8>),
    Pong,
    Close,
}

/// Takes a client's bytes apart.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    state: State,
    /// A message was begun and not finished.
    within: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Header { bytes: [u8; 14], have: usize },
    Data { left: u64, mask: [u8; 4] },
    Control { kind: Kind, left: usize, mask: [u8; 4], content: [u8; CONTROL], have: usize },
}

impl Default for State {
    fn default() -> Self {
        State::Header { bytes: [0; 14], have: 0 }
    }
}

impl Frames {
    /// The next piece of `input`, which is taken off it; nothing when more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError`]: close.
    pub(crate) fn next<'b>(
        &mut self,
        input: &mut &'b mut [u8],
    ) -> Result<Option<Piece<'b>>, FrameError> {
        while !input.is_empty() {
            match &mut self.state {
                State::Header { bytes, have } => {
                    bytes[*have] = take(input, 1)[0];
                    *have += 1;
                    if let Some(next) = begin(&bytes[..*have], &mut self.within)? {
                        self.state = next;
                        if let Some(piece) = self.finished() {
                            return Ok(Some(piece));
                        }
                    }
                }
                State::Data { left, mask } => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    let data = take(input, here);
                    unmask(data, mask);
                    *left -= here as u64;
                    if *left == 0 {
                        self.state = State::default();
                    }
                    return Ok(Some(Piece::Data(data)));
                }
                State::Control { left, mask, content, have, .. } => {
                    let data = take(input, (*left).min(input.len()));
                    unmask(data, mask);
                    content[*have..*have + data.len()].copy_from_slice(data);
                    *have += data.len();
                    *left -= data.len();
                    if let Some(piece) = self.finished() {
                        return Ok(Some(piece));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The control frame that is complete, if one is; empty data frames are passed over.
    fn finished(&mut self) -> Option<Piece<'static>> {
        let piece = match &self.state {
            State::Control { left: 0, kind, content, have, .. } => match kind {
                Kind::Ping => Some(Piece::Ping(content[..*have].to_vec())),
                Kind::Pong => Some(Piece::Pong),
                Kind::Close | Kind::Binary => Some(Piece::Close),
            },
            State::Data { left: 0, .. } => None,
            _ => return None,
        };
        self.state = State::default();
        piece
    }
}

/// The state that a header leads to, once it is complete.
fn begin(header: &[u8], within: &mut bool) -> Result<Option<State>, FrameError> {
    let [first, second, rest @ ..] = header else { return Ok(None) };
    let (last, reserved, code) = (first & 0x80 != 0, first & 0x70, first & 0x0f);
    let (masked, short) = (second & 0x80 != 0, second & 0x7f);
    if reserved != 0 || !masked {
        return Err(FrameError::Protocol);
    }
    let wide = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if rest.len() < wide + 4 {
        return Ok(None);
    }
    let (length, mask) = rest.split_at(wide);
    let length = match wide {
        0 => u64::from(short),
        _ => length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    let mask = [mask[0], mask[1], mask[2], mask[3]];
    let kind = match code {
        0x0 | 0x2 => {
            if (code == 0) != *within || length >> 63 != 0 {
                return Err(FrameError::Protocol);
            }
            *within = !last;
            return Ok(Some(State::Data { left: length, mask }));
        }
        0x1 => return Err(FrameError::Text),
        0x8 => Kind::Close,
        0x9 => Kind::Ping,
        0xa => Kind::Pong,
        _ => return Err(FrameError::Protocol),
    };
    if !last || wide != 0 {
        return Err(FrameError::Protocol);
    }
    let left = usize::from(short);
    Ok(Some(State::Control { kind, left, mask, content: [0; CONTROL], have: 0 }))
}

fn take<'b>(input: &mut &'b mut [u8], length: usize) -> &'b mut [u8] {
    let (taken, rest) = std::mem::take(input).split_at_mut(length);
    *input = rest;
    taken
}

/// Takes the mask off, and turns it so that it fits what comes next.
fn unmask(data: &mut [u8], mask: &mut [u8; 4]) {
    for (byte, mask) in data.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    mask.rotate_left(data.len() % 4);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A client's frame.
    fn frame(first: u8, mask: [u8; 4], content: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        match content.len() {
            0..=125 => out.push(0x80 | content.len() as u8),
            126..=0xffff => {
                out.push(0x80 | 126);
                out.extend((content.len() as u16).to_be_bytes());
            }
            _ => {
                out.push(0x80 | 127);
                out.extend((content.len() as u64).to_be_bytes());
            }
        }
        out.extend(mask);
        out.extend(content.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        out
    }

    #[derive(Debug, Default, PartialEq)]
    struct Seen {
        data: Vec<u8>,
        pings: Vec<Vec<u8>>,
        pongs: usize,
        closes: usize,
    }

    fn read(frames: &mut Frames, bytes: &[u8], seen: &mut Seen) -> Result<(), FrameError> {
        let mut bytes = bytes.to_vec();
        let mut input = bytes.as_mut_slice();
        while let Some(piece) = frames.next(&mut input)? {
            match piece {
                Piece::Data(data) => seen.data.extend_from_slice(data),
                Piece::Ping(content) => seen.pings.push(content),
                Piece::Pong => seen.pongs += 1,
                Piece::Close => seen.closes += 1,
            }
        }
        Ok(())
    }

    #[test]
    fn what_breaks_the_rules_is_refused() {
        let big = |first: u8| vec![first, 0x80 | 126, 0, 126];
        let table: [(Vec<u8>, FrameError); 8] = [
            (vec![0x82, 0x01], FrameError::Protocol),
            (frame(0xc2, [1; 4], b"x"), FrameError::Protocol),
            (frame(0x80, [1; 4], b"x"), FrameError::Protocol),
            (frame(0x83, [1; 4], b"x"), FrameError::Protocol),
            (frame(0x09, [1; 4], b"x"), FrameError::Protocol),
            ([big(0x89), vec![0; 4]].concat(), FrameError::Protocol),
            (vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1], FrameError::Protocol),
            (frame(0x81, [1; 4], b"x"), FrameError::Text),
        ];
        for (bytes, error) in table {
            let result = read(&mut Frames::default(), &bytes, &mut Seen::default());
            assert_eq!(result, Err(error), "{bytes:x?}");
        }
    }

    #[test]
    fn control_frames_may_stand_within_a_message() {
        let bytes = [
            frame(0x02, [1, 2, 3, 4], b"ab"),
            frame(0x89, [5, 6, 7, 8], b"ping"),
            frame(0x00, [9; 4], b""),
            frame(0x8a, [9; 4], b""),
            frame(0x80, [4, 3, 2, 1], b"cd"),
            frame(0x88, [0; 4], &[3, 0xe8]),
        ]
        .concat();
        let expected =
            Seen { data: b"abcd".to_vec(), pings: vec![b"ping".to_vec()], pongs: 1, closes: 1 };
        for size in 1..=bytes.len() {
            let (mut frames, mut seen) = (Frames::default(), Seen::default());
            for chunk in bytes.chunks(size) {
                read(&mut frames, chunk, &mut seen).unwrap();
            }
            assert_eq!(seen, expected, "in chunks of {size}");
        }
    }

    #[test]
    fn headers_are_as_short_as_they_can_be() {
        for (length, expected) in [
            (0, vec![0x82, 0]),
            (125, vec![0x82, 125]),
            (126, vec![0x82, 126, 0, 126]),
            (65_535, vec![0x82, 126, 0xff, 0xff]),
            (65_536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut room = [0; HEADER];
            let start = header(&mut room, Kind::Binary, length);
            assert_eq!(room[start..], expected);
        }
        assert_eq!(close(4001, "taken over")[..4], [0x88, 12, 0x0f, 0xa1]);
        assert_eq!(control(Kind::Ping, &[0; 200]).len(), 2 + CONTROL);
    }

    proptest! {
        #[test]
        fn a_stream_comes_through_however_it_is_cut(
            messages in prop::collection::vec((any::<[u8; 4]>(), 0usize..70_000), 1..5),
            sizes in prop::collection::vec(1usize..9_000, 1..6),
        ) {
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for (mask, length) in messages {
                let content: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
                bytes.extend(frame(0x82, mask, &content));
                expected.extend(content);
            }
            let (mut frames, mut seen) = (Frames::default(), Seen::default());
            let (mut rest, mut sizes) = (&bytes[..], sizes.iter().cycle());
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                read(&mut frames, chunk, &mut seen).unwrap();
                rest = after;
            }
            prop_assert_eq!(seen.data, expected);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&mut Frames::default(), &bytes, &mut Seen::default());
        }
    }
}
