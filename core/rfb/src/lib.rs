//! Just enough RFB (RFC 6143 and the community's `rfbproto`) to stand between a viewer and a
//! display server.
//!
//! Owns the two handshakes that a relay ends, the filter in front of a view-only viewer, and a
//! viewer without a window for tests and measurements. All of it is bytes in, bytes out: no
//! socket, no clock, no chance. Buffers are bounded, whatever the other side sends.
//!
//! ```text
//! viewer ⇄ ServerHandshake │ relay │ ClientHandshake ⇄ Xvnc
//! viewer ──▶ ViewOnlyFilter ─────────────────────────▶ Xvnc
//!              InputSpotter reads along: does anybody do anything?
//! ```
//!
//! Refuses to understand pixels, except in [`Viewer`], which asks for raw ones.
#![forbid(unsafe_code)]

mod filter;
mod gather;
mod handshake;
mod input;
mod message;
mod password;
mod viewer;

pub use filter::{FilterError, ViewOnlyFilter};
pub use handshake::client::{ClientHandshake, ClientHandshakeError, ClientSecurity};
pub use handshake::server::{Accepted, ServerHandshake, ServerHandshakeError, ServerSecurity};
pub use handshake::{ServerInit, Version};
pub use input::InputSpotter;
pub use message::{
    BUTTON_LEFT, BUTTON_MIDDLE, BUTTON_RIGHT, KeyState, Rect, Update, key_event, pointer_event,
    set_encodings, set_pixel_format, update_request,
};
pub use password::VncPassword;
pub use viewer::{ServerEvent, Viewer, ViewerError};
