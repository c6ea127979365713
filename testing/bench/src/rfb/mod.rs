//! Both ends of a line that relays are measured on: a display server that costs next to nothing, and
//! a viewer that looks at no pixel.
//!
//! ```text
//! Viewer ─▶ Line (plain │ TLS │ WebSocket over TLS) ─▶ relay ─▶ Unix socket ─▶ FakeDisplay
//! ```

mod display;
mod line;
mod relay;
mod viewer;
mod websocket;

pub use display::FakeDisplay;
pub use line::{Line, Trust, tcp};
pub use relay::{Direct, Relay};
pub use viewer::{Security, Viewer};
pub use websocket::WebSocket;
