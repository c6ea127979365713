//! The server's part, toward a viewer.
//!
//! ```text
//! greeting ▶ Version ──3.7,3.8──▶ Choice ─┬─None──────────────▶ Init ▶ Accepted
//!               └──3.3─────────────────── ┴─VncAuth▶ Response ──▶┘
//! ```

use crate::gather::Gather;
use crate::handshake::{SECURITY_NONE, SECURITY_VNC, Version};
use crate::password::VncPassword;

/// How a viewer proves itself within RFB.
#[derive(Debug, Clone)]
pub enum ServerSecurity {
    /// Not at all: it did so before.
    None,
    /// By a VNC password.
    VncAuth {
        /// The right one.
        password: VncPassword,
        /// 16 random bytes, new for each connection.
        challenge: [u8; 16],
    },
}

/// Why a viewer's handshake failed. Where RFB has words for it, they are in the output already,
/// to be sent before closing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerHandshakeError {
    /// The first 12 bytes are no RFB version.
    #[error("the viewer does not speak RFB")]
    Version,
    /// It chose what was not offered.
    #[error("the viewer chose security type {chosen}, which was not offered")]
    Security {
        /// What it chose.
        chosen: u8,
    },
    /// Its password is wrong.
    #[error("the viewer's password is wrong")]
    Password,
    /// An earlier call failed.
    #[error("the handshake has failed already")]
    Over,
}

/// A viewer is through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The version it speaks.
    pub version: Version,
    /// Whether it is content to share the desktop.
    pub shared: bool,
}

/// The server's side of one handshake, up to and with ClientInit. ServerInit is then to be sent.
#[derive(Debug)]
pub struct ServerHandshake {
    security: ServerSecurity,
    state: State,
    gather: Gather,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Version,
    Choice(Version),
    Response(Version),
    Init(Version),
    Over,
}

impl ServerHandshake {
    /// What the server says first.
    pub const GREETING: &'static [u8; 12] = b"RFB 003.008\n";

    /// A handshake of which [`ServerHandshake::GREETING`] has been sent.
    pub fn new(security: ServerSecurity) -> Self {
        Self { security, state: State::Version, gather: Gather::default() }
    }

    /// Reads on, and appends to `out` what is to be sent. Once it gives [`Accepted`], what is left
    /// of `input` comes after the handshake.
    ///
    /// # Errors
    /// [`ServerHandshakeError`]: send `out`, then close.
    pub fn feed(
        &mut self,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Accepted>, ServerHandshakeError> {
        loop {
            // An early return below leaves it over; only success sets it again.
            let state = std::mem::replace(&mut self.state, State::Over);
            let (next, accepted) = match self.step(state, input, out)? {
                Some(moved) => moved,
                None => {
                    self.state = state;
                    return Ok(None);
                }
            };
            self.state = next;
            if accepted.is_some() {
                return Ok(accepted);
            }
        }
    }

    fn step(
        &mut self,
        state: State,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<(State, Option<Accepted>)>, ServerHandshakeError> {
        let next = match state {
            State::Version => {
                let Some(text) = self.gather.array(input) else { return Ok(None) };
                let version = Version::parse(&text).ok_or(ServerHandshakeError::Version)?;
                self.offer(version, out)
            }
            State::Choice(version) => {
                let Some([chosen]) = self.gather.array(input) else { return Ok(None) };
                if chosen != self.kind() {
                    refuse(version, "That security type was not offered.", out);
                    return Err(ServerHandshakeError::Security { chosen });
                }
                self.chosen(version, out)
            }
            State::Response(version) => {
                let Some(response) = self.gather.array(input) else { return Ok(None) };
                match &self.security {
                    ServerSecurity::VncAuth { password, challenge }
                        if !password.accepts(challenge, &response) =>
                    {
                        refuse(version, "Wrong password.", out);
                        return Err(ServerHandshakeError::Password);
                    }
                    _ => out.extend_from_slice(&RESULT_OK),
                }
                State::Init(version)
            }
            State::Init(version) => {
                let Some([shared]) = self.gather.array(input) else { return Ok(None) };
                return Ok(Some((State::Over, Some(Accepted { version, shared: shared != 0 }))));
            }
            State::Over => return Err(ServerHandshakeError::Over),
        };
        Ok(Some((next, None)))
    }

    fn kind(&self) -> u8 {
        match self.security {
            ServerSecurity::None => SECURITY_NONE,
            ServerSecurity::VncAuth { .. } => SECURITY_VNC,
        }
    }

    fn offer(&self, version: Version, out: &mut Vec<u8>) -> State {
        match version {
            Version::V33 => {
                out.extend_from_slice(&[0, 0, 0, self.kind()]);
                self.chosen(version, out)
            }
            Version::V37 | Version::V38 => {
                out.extend_from_slice(&[1, self.kind()]);
                State::Choice(version)
            }
        }
    }

    fn chosen(&self, version: Version, out: &mut Vec<u8>) -> State {
        match &self.security {
            ServerSecurity::VncAuth { challenge, .. } => {
                out.extend_from_slice(challenge);
                State::Response(version)
            }
            ServerSecurity::None => {
                if version == Version::V38 {
                    out.extend_from_slice(&RESULT_OK);
                }
                State::Init(version)
            }
        }
    }
}

const RESULT_OK: [u8; 4] = [0, 0, 0, 0];

/// SecurityResult "failed"; version 3.8 has a reason with it.
fn refuse(version: Version, reason: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0, 0, 0, 1]);
    if version == Version::V38 {
        let length = u32::try_from(reason.len()).unwrap_or(0);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(reason.as_bytes());
    }
}
