//! A viewer without a window: what tests and measurements look through.
//!
//! It asks for raw pixels alone, so that what it holds is what the server drew.

use crate::gather::{Gather, u16_at, u32_at};
use crate::handshake::ServerInit;
use crate::message::{Rect, Update, set_encodings, set_pixel_format, update_request};

const RAW: i32 = 0;
const CURSOR: i32 = -239;
const DESKTOP_SIZE: i32 = -223;

/// Larger screens are refused: 64 Mi pixels, of 4 bytes each.
const MOST_PIXELS: usize = 64 << 20;
/// Longer clipboards and colour maps are refused.
const MOST_TEXT: usize = 1 << 20;

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerEvent {
    /// One FramebufferUpdate is on the screen, whole.
    Updated {
        /// Where pixels came. Those of the cursor are not shown.
        areas: Vec<Rect>,
    },
    /// The screen has another size, and is black until pixels come.
    Resized {
        /// In pixels.
        width: u16,
        /// In pixels.
        height: u16,
    },
    /// A bell.
    Bell,
    /// The clipboard, in Latin-1.
    CutText(Vec<u8>),
}

/// Why the stream cannot be followed further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewerError {
    /// A message of a type that was not asked for.
    #[error("the server sent a message of type {kind}")]
    Type {
        /// Its type.
        kind: u8,
    },
    /// An encoding that was not asked for.
    #[error("the server sent encoding {encoding}")]
    Encoding {
        /// Its number.
        encoding: i32,
    },
    /// Pixels outside the screen.
    #[error("the server sent pixels outside the screen")]
    Outside,
    /// More than this viewer holds.
    #[error("the server sent something too large")]
    TooLarge,
}

/// One viewer's screen, after the handshake.
#[derive(Debug)]
pub struct Viewer {
    width: u16,
    height: u16,
    pixels: Vec<u8>,
    state: State,
    gather: Gather,
    areas: Vec<Rect>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Type,
    UpdateHeader,
    RectHeader { rects: u16 },
    Pixels { rects: u16, area: Rect, done: usize },
    Skip { rects: u16, left: usize },
    TextLength,
    Text { length: usize },
}

impl Viewer {
    /// A black screen of the announced size.
    ///
    /// # Errors
    /// [`ViewerError::TooLarge`] if it has more than 64 Mi pixels.
    pub fn new(init: &ServerInit) -> Result<Self, ViewerError> {
        let mut viewer = Self {
            width: 0,
            height: 0,
            pixels: Vec::new(),
            state: State::Type,
            gather: Gather::default(),
            areas: Vec::new(),
        };
        viewer.resize(init.width, init.height)?;
        Ok(viewer)
    }

    /// What to send first: pixel format, encodings, and a request for the whole screen.
    pub fn opening(&self) -> Vec<u8> {
        let mut out = set_pixel_format();
        out.extend(set_encodings(&[RAW, DESKTOP_SIZE, CURSOR]));
        out.extend(self.request(Update::Full));
        out
    }

    /// A request for the whole screen; to be sent after each [`ServerEvent::Updated`].
    pub fn request(&self, update: Update) -> Vec<u8> {
        let area = Rect { x: 0, y: 0, width: self.width, height: self.height };
        update_request(update, area)
    }

    /// In pixels.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// In pixels.
    pub fn height(&self) -> u16 {
        self.height
    }

    /// The screen, line by line from the top left, four bytes a pixel: red, green, blue, 255.
    pub fn rgba(&self) -> &[u8] {
        &self.pixels
    }

    /// Red, green and blue of one pixel; `None` outside the screen.
    pub fn pixel(&self, x: u16, y: u16) -> Option<[u8; 3]> {
        if x >= self.width || y >= self.height {
            return None;
        }
        let at = 4 * (usize::from(y) * usize::from(self.width) + usize::from(x));
        self.pixels.get(at..at + 3)?.try_into().ok()
    }

    /// Reads on; gives what has come whole by now.
    ///
    /// # Errors
    /// [`ViewerError`]: close.
    pub fn feed(&mut self, mut input: &[u8]) -> Result<Vec<ServerEvent>, ViewerError> {
        let mut events = Vec::new();
        while let Some(next) = self.step(&mut input, &mut events)? {
            self.state = next;
        }
        Ok(events)
    }

    fn step(
        &mut self,
        input: &mut &[u8],
        events: &mut Vec<ServerEvent>,
    ) -> Result<Option<State>, ViewerError> {
        let next = match self.state {
            State::Type => match self.gather.array(input) {
                None => return Ok(None),
                Some([0]) => State::UpdateHeader,
                Some([2]) => {
                    events.push(ServerEvent::Bell);
                    State::Type
                }
                Some([3]) => State::TextLength,
                Some([kind]) => return Err(ViewerError::Type { kind }),
            },
            State::UpdateHeader => {
                let Some(header) = self.gather.array::<3>(input) else { return Ok(None) };
                self.next_rect(u16_at(&header, 1), events)
            }
            State::RectHeader { rects } => {
                let Some(header) = self.gather.array::<12>(input) else { return Ok(None) };
                self.rect(rects, &header, events)?
            }
            State::Pixels { rects, area, done } => {
                let whole = 4 * usize::from(area.width) * usize::from(area.height);
                let (now, later) = input.split_at((whole - done).min(input.len()));
                *input = later;
                self.draw(area, done, now);
                let done = done + now.len();
                if done < whole {
                    self.state = State::Pixels { rects, area, done };
                    return Ok(None);
                }
                self.areas.push(area);
                self.next_rect(rects - 1, events)
            }
            State::Skip { rects, left } => {
                let now = left.min(input.len());
                *input = &input[now..];
                if now < left {
                    self.state = State::Skip { rects, left: left - now };
                    return Ok(None);
                }
                self.next_rect(rects - 1, events)
            }
            State::TextLength => {
                let Some(header) = self.gather.array::<7>(input) else { return Ok(None) };
                let length = usize::try_from(u32_at(&header, 3)).unwrap_or(usize::MAX);
                if length > MOST_TEXT {
                    return Err(ViewerError::TooLarge);
                }
                State::Text { length }
            }
            State::Text { length } => {
                let Some(text) = self.gather.take(input, length) else { return Ok(None) };
                events.push(ServerEvent::CutText(text));
                State::Type
            }
        };
        Ok(Some(next))
    }

    fn next_rect(&mut self, rects: u16, events: &mut Vec<ServerEvent>) -> State {
        if rects > 0 {
            return State::RectHeader { rects };
        }
        events.push(ServerEvent::Updated { areas: std::mem::take(&mut self.areas) });
        State::Type
    }

    fn rect(
        &mut self,
        rects: u16,
        header: &[u8; 12],
        events: &mut Vec<ServerEvent>,
    ) -> Result<State, ViewerError> {
        let [x, y, width, height] = [0, 2, 4, 6].map(|at| u16_at(header, at));
        match u32_at(header, 8).cast_signed() {
            RAW => {
                let fits = |from: u16, size: u16, most: u16| {
                    from.checked_add(size).is_some_and(|end| end <= most)
                };
                if !fits(x, width, self.width) || !fits(y, height, self.height) {
                    return Err(ViewerError::Outside);
                }
                Ok(State::Pixels { rects, area: Rect { x, y, width, height }, done: 0 })
            }
            CURSOR => {
                let (width, height) = (usize::from(width), usize::from(height));
                let left = 4 * width * height + width.div_ceil(8) * height;
                if left > MOST_TEXT {
                    return Err(ViewerError::TooLarge);
                }
                Ok(State::Skip { rects, left })
            }
            DESKTOP_SIZE => {
                self.resize(width, height)?;
                events.push(ServerEvent::Resized { width, height });
                Ok(self.next_rect(rects - 1, events))
            }
            encoding => Err(ViewerError::Encoding { encoding }),
        }
    }

    fn resize(&mut self, width: u16, height: u16) -> Result<(), ViewerError> {
        let pixels = usize::from(width) * usize::from(height);
        if pixels > MOST_PIXELS {
            return Err(ViewerError::TooLarge);
        }
        (self.width, self.height) = (width, height);
        self.pixels.clear();
        self.pixels.resize(4 * pixels, 0);
        for alpha in self.pixels.iter_mut().skip(3).step_by(4) {
            *alpha = 255;
        }
        Ok(())
    }

    /// Puts bytes of an area's pixels where they belong; `done` bytes of it came before. INVARIANT:
    /// the area is within the screen.
    fn draw(&mut self, area: Rect, mut done: usize, mut bytes: &[u8]) {
        let line = 4 * usize::from(area.width);
        while !bytes.is_empty() {
            let (row, column) = (done / line, done % line);
            let (now, later) = bytes.split_at((line - column).min(bytes.len()));
            let top = (usize::from(area.y) + row) * usize::from(self.width);
            let at = 4 * (top + usize::from(area.x)) + column;
            self.pixels[at..at + now.len()].copy_from_slice(now);
            for (n, byte) in self.pixels[at..at + now.len()].iter_mut().enumerate() {
                if (column + n) % 4 == 3 {
                    *byte = 255;
                }
            }
            done += now.len();
            bytes = later;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn viewer() -> Viewer {
        let init = ServerInit { width: 4, height: 3, pixel_format: [0; 16], name: Vec::new() };
        Viewer::new(&init).unwrap()
    }

    fn rect(x: u16, y: u16, width: u16, height: u16, encoding: i32) -> Vec<u8> {
        let mut out = Vec::new();
        for value in [x, y, width, height] {
            out.extend(value.to_be_bytes());
        }
        out.extend(encoding.to_be_bytes());
        out
    }

    /// Two raw areas, a cursor, a bell, a clipboard, a new size, one more area.
    fn session() -> Vec<u8> {
        let mut out = vec![0, 0, 0, 3];
        out.extend(rect(1, 1, 2, 2, RAW));
        out.extend([10, 20, 30, 0, 11, 21, 31, 0, 12, 22, 32, 0, 13, 23, 33, 0]);
        out.extend(rect(0, 0, 9, 2, CURSOR));
        out.extend([7; 4 * 9 * 2 + 2 * 2]);
        out.extend(rect(3, 0, 1, 1, RAW));
        out.extend([40, 50, 60, 0]);
        out.push(2);
        out.extend([3, 0, 0, 0, 0, 0, 0, 2]);
        out.extend(b"hi");
        out.extend([0, 0, 0, 2]);
        out.extend(rect(0, 0, 2, 1, DESKTOP_SIZE));
        out.extend(rect(0, 0, 2, 1, RAW));
        out.extend([1, 2, 3, 4, 5, 6, 7, 8]);
        out
    }

    fn events() -> Vec<ServerEvent> {
        let area = |x, y, width, height| Rect { x, y, width, height };
        vec![
            ServerEvent::Updated { areas: vec![area(1, 1, 2, 2), area(3, 0, 1, 1)] },
            ServerEvent::Bell,
            ServerEvent::CutText(b"hi".to_vec()),
            ServerEvent::Resized { width: 2, height: 1 },
            ServerEvent::Updated { areas: vec![area(0, 0, 2, 1)] },
        ]
    }

    #[test]
    fn pixels_are_where_the_server_put_them() {
        let mut viewer = viewer();
        let end = session().len() - 12 - 12 - 8 - 4;
        viewer.feed(&session()[..end]).unwrap();
        for (x, y, want) in [
            (0, 0, [0, 0, 0]),
            (1, 1, [10, 20, 30]),
            (2, 1, [11, 21, 31]),
            (1, 2, [12, 22, 32]),
            (2, 2, [13, 23, 33]),
            (3, 0, [40, 50, 60]),
        ] {
            assert_eq!(viewer.pixel(x, y), Some(want), "{x},{y}");
        }
        assert_eq!(viewer.pixel(4, 0), None);
        assert_eq!(viewer.pixel(0, 3), None);
        viewer.feed(&session()[end..]).unwrap();
        assert_eq!(viewer.rgba(), [1, 2, 3, 255, 5, 6, 7, 255]);
        assert_eq!((viewer.width(), viewer.height()), (2, 1));
    }

    #[test]
    fn what_was_not_asked_for_or_does_not_fit_is_refused() {
        let update = |rect: Vec<u8>| [&[0, 0, 0, 1][..], &rect].concat();
        for (bytes, error) in [
            (vec![1], ViewerError::Type { kind: 1 }),
            (update(rect(0, 0, 1, 1, 7)), ViewerError::Encoding { encoding: 7 }),
            (update(rect(3, 0, 2, 1, RAW)), ViewerError::Outside),
            (update(rect(u16::MAX, 0, 1, 1, RAW)), ViewerError::Outside),
            (update(rect(0, 0, 60_000, 60_000, DESKTOP_SIZE)), ViewerError::TooLarge),
            (update(rect(0, 0, 60_000, 60_000, CURSOR)), ViewerError::TooLarge),
            (vec![3, 0, 0, 0, 0xff, 0, 0, 0], ViewerError::TooLarge),
        ] {
            assert_eq!(viewer().feed(&bytes), Err(error));
        }
    }

    #[test]
    fn it_asks_for_what_it_understands() {
        let opening = viewer().opening();
        assert_eq!(opening.len(), 20 + 4 + 4 * 3 + 10);
        assert_eq!(opening[..2], [0, 0]);
        assert_eq!(opening[20..24], [2, 0, 0, 3]);
        assert_eq!(viewer().request(Update::Incremental), [3, 1, 0, 0, 0, 0, 0, 4, 0, 3]);
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_make_the_same_screen(
            sizes in prop::collection::vec(1usize..30, 1..8),
        ) {
            let session = session();
            let mut viewer = viewer();
            let mut seen = Vec::new();
            let mut rest = &session[..];
            for size in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*size).min(rest.len()));
                rest = after;
                seen.extend(viewer.feed(piece).unwrap());
            }
            prop_assert_eq!(seen, events());
            prop_assert_eq!(viewer.rgba(), [1, 2, 3, 255, 5, 6, 7, 255]);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(0u8..5, 0..300)) {
            let _ = viewer().feed(&bytes);
        }
    }
}
