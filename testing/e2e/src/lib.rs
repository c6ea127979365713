//! What the tests of whole clusters look through: a browser, a viewer without a window, the X server
//! itself, and `/proc`.
//!
//! Knows nothing of Abide's inside. What a test claims about a desktop it takes from outside: from
//! what the browser shows, from what the X server says it drew, from which processes live.

pub mod browser;
pub mod image;
pub mod outside;
pub mod processes;
pub mod rfb;
pub mod scene;
pub mod wait;
pub mod x;
