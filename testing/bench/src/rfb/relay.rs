//! What stands between a viewer and a display server.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use super::{Line, Security};
use crate::program::ProcError;

/// A running relay.
pub trait Relay {
    /// A new line through it.
    fn line(&self) -> anyhow::Result<Box<dyn Line>>;
    /// What the far end of a new line asks for.
    fn security(&self) -> Security {
        Security::AnyPassword
    }
    /// The CPU time that it has used.
    fn cpu(&self) -> Result<Duration, ProcError>;
}

/// No relay at all: the display server's socket.
pub struct Direct(pub PathBuf);

impl Relay for Direct {
    fn line(&self) -> anyhow::Result<Box<dyn Line>> {
        Ok(Box::new(UnixStream::connect(&self.0)?))
    }

    fn cpu(&self) -> Result<Duration, ProcError> {
        Ok(Duration::ZERO)
    }
}
