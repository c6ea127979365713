//! Messages of a viewer, as bytes (RFC 6143, 7.5).

/// A rectangle of the screen, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rect {
    /// From the left.
    pub x: u16,
    /// From the top.
    pub y: u16,
    /// To the right.
    pub width: u16,
    /// To the bottom.
    pub height: u16,
}

/// Which pixels are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// Those that change.
    Incremental,
    /// All of them, now.
    Full,
}

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Pressed.
    Down,
    /// Released.
    Up,
}

/// [`pointer_event`]: the left button is down.
pub const BUTTON_LEFT: u8 = 1;
/// [`pointer_event`]: the middle button is down.
pub const BUTTON_MIDDLE: u8 = 2;
/// [`pointer_event`]: the right button is down.
pub const BUTTON_RIGHT: u8 = 4;

/// SetPixelFormat: four bytes a pixel, red, green, blue and one unused, in this order.
pub fn set_pixel_format() -> Vec<u8> {
    let mut out = vec![0, 0, 0, 0, 32, 24, 0, 1];
    for most in [255u16; 3] {
        out.extend_from_slice(&most.to_be_bytes());
    }
    out.extend_from_slice(&[0, 8, 16, 0, 0, 0]);
    out
}

/// SetEncodings: what the viewer understands, best first. At most 65,535.
pub fn set_encodings(encodings: &[i32]) -> Vec<u8> {
    let count = u16::try_from(encodings.len()).unwrap_or(u16::MAX);
    let mut out = vec![2, 0];
    out.extend_from_slice(&count.to_be_bytes());
    for encoding in encodings.iter().take(count.into()) {
        out.extend_from_slice(&encoding.to_be_bytes());
    }
    out
}

/// FramebufferUpdateRequest.
pub fn update_request(update: Update, area: Rect) -> Vec<u8> {
    let mut out = vec![3, u8::from(update == Update::Incremental)];
    for value in [area.x, area.y, area.width, area.height] {
        out.extend_from_slice(&value.to_be_bytes());
    }
    out
}

/// KeyEvent. `keysym` is X's; of Latin-1 characters it is their code.
pub fn key_event(state: KeyState, keysym: u32) -> Vec<u8> {
    let mut out = vec![4, u8::from(state == KeyState::Down), 0, 0];
    out.extend_from_slice(&keysym.to_be_bytes());
    out
}

/// PointerEvent. `buttons` is a sum of [`BUTTON_LEFT`] and so on.
pub fn pointer_event(buttons: u8, x: u16, y: u16) -> Vec<u8> {
    let mut out = vec![5, buttons];
    out.extend_from_slice(&x.to_be_bytes());
    out.extend_from_slice(&y.to_be_bytes());
    out
}
