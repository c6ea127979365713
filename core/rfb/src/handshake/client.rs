//! The client's part, toward a display server.
//!
//! ```text
//! Version ─3.7,3.8▶ Types ─┬───────────────▶ Result ▶ Init ▶ Name ▶ ServerInit
//!    └──────3.3──▶ Type ───┴─▶ Challenge ──▶───┘
//! (a refusal leads to Reason instead, and that to an error)
//! ```

use crate::gather::{Gather, u32_at};
use crate::handshake::{SECURITY_NONE, SECURITY_VNC, ServerInit, Version};
use crate::password::VncPassword;

/// Longer reasons and names are refused.
const MOST_TEXT: usize = 4096;

/// How to prove oneself to the display server.
#[derive(Debug, Clone)]
pub enum ClientSecurity {
    /// Not at all.
    None,
    /// By a VNC password.
    VncAuth(VncPassword),
}

/// Why a display server's handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientHandshakeError {
    /// The first 12 bytes are no RFB version.
    #[error("the display server does not speak RFB")]
    Version,
    /// The security type needed is not offered.
    #[error("the display server does not offer security type {wanted}, only {offered:?}")]
    Security {
        /// The number of the type needed.
        wanted: u8,
        /// The numbers of those offered.
        offered: Vec<u8>,
    },
    /// The server says no.
    #[error("the display server refused: {reason}")]
    Refused {
        /// What it says; empty if nothing.
        reason: String,
    },
    /// A text longer than this crate takes.
    #[error("the display server sent a text of {length} bytes")]
    TooLong {
        /// Its length.
        length: u32,
    },
    /// An earlier call failed.
    #[error("the handshake has failed already")]
    Over,
}

/// The client's side of one handshake, up to and with ServerInit. It always shares the desktop:
/// who takes over from whom is not the display server's to decide.
#[derive(Debug)]
pub struct ClientHandshake {
    security: ClientSecurity,
    state: State,
    gather: Gather,
}

#[derive(Debug, Clone)]
enum State {
    Version,
    TypeCount(Version),
    Types(Version, usize),
    Type,
    Challenge(Version),
    Result(Version),
    ReasonLength,
    Reason(usize),
    Init,
    Name(ServerInit, usize),
    Over,
}

/// What one step of the machine led to.
enum Moved {
    To(State),
    Done(ServerInit),
}

impl ClientHandshake {
    /// A handshake that waits for the server's greeting.
    pub fn new(security: ClientSecurity) -> Self {
        Self { security, state: State::Version, gather: Gather::default() }
    }

    /// Reads on, and appends to `out` what is to be sent. Once it gives [`ServerInit`], what is
    /// left of `input` comes after the handshake.
    ///
    /// # Errors
    /// [`ClientHandshakeError`]: close.
    pub fn feed(
        &mut self,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerInit>, ClientHandshakeError> {
        loop {
            // An early return below leaves it over; only success sets it again.
            let state = std::mem::replace(&mut self.state, State::Over);
            match self.step(&state, input, out)? {
                Some(Moved::To(next)) => self.state = next,
                Some(Moved::Done(init)) => return Ok(Some(init)),
                None => {
                    self.state = state;
                    return Ok(None);
                }
            }
        }
    }

    fn step(
        &mut self,
        state: &State,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Moved>, ClientHandshakeError> {
        let gather = &mut self.gather;
        let next = match *state {
            State::Version => {
                let Some(text) = gather.array(input) else { return Ok(None) };
                let version = Version::parse(&text).ok_or(ClientHandshakeError::Version)?;
                out.extend_from_slice(version.text());
                match version {
                    Version::V33 => State::Type,
                    Version::V37 | Version::V38 => State::TypeCount(version),
                }
            }
            State::TypeCount(version) => match gather.array(input) {
                None => return Ok(None),
                Some([0]) => State::ReasonLength,
                Some([count]) => State::Types(version, count.into()),
            },
            State::Types(version, count) => {
                let Some(offered) = gather.take(input, count) else { return Ok(None) };
                let wanted = self.kind();
                if !offered.contains(&wanted) {
                    return Err(ClientHandshakeError::Security { wanted, offered });
                }
                out.push(wanted);
                self.chosen(version, out)
            }
            State::Type => {
                let Some(word) = gather.array::<4>(input) else { return Ok(None) };
                match (word, self.kind()) {
                    ([0, 0, 0, 0], _) => State::ReasonLength,
                    ([0, 0, 0, kind], wanted) if kind == wanted => self.chosen(Version::V33, out),
                    ([.., kind], wanted) => {
                        let offered = vec![kind];
                        return Err(ClientHandshakeError::Security { wanted, offered });
                    }
                }
            }
            State::Challenge(version) => {
                let Some(challenge) = gather.array(input) else { return Ok(None) };
                if let ClientSecurity::VncAuth(password) = &self.security {
                    out.extend_from_slice(&password.respond(&challenge));
                }
                State::Result(version)
            }
            State::Result(version) => match gather.array(input) {
                None => return Ok(None),
                Some([0, 0, 0, 0]) => self.init(out),
                Some(_) if version == Version::V38 => State::ReasonLength,
                Some(_) => return Err(refused(&[])),
            },
            State::ReasonLength => {
                let Some(word) = gather.array::<4>(input) else { return Ok(None) };
                State::Reason(bounded(u32_at(&word, 0))?)
            }
            State::Reason(length) => {
                let Some(reason) = gather.take(input, length) else { return Ok(None) };
                return Err(refused(&reason));
            }
            State::Init => {
                let Some(fixed) = gather.array::<{ ServerInit::FIXED }>(input) else {
                    return Ok(None);
                };
                State::Name(ServerInit::fixed(&fixed), bounded(u32_at(&fixed, 20))?)
            }
            State::Name(ref init, length) => {
                let Some(name) = gather.take(input, length) else { return Ok(None) };
                return Ok(Some(Moved::Done(ServerInit { name, ..init.clone() })));
            }
            State::Over => return Err(ClientHandshakeError::Over),
        };
        Ok(Some(Moved::To(next)))
    }

    fn kind(&self) -> u8 {
        match self.security {
            ClientSecurity::None => SECURITY_NONE,
            ClientSecurity::VncAuth(_) => SECURITY_VNC,
        }
    }

    fn chosen(&self, version: Version, out: &mut Vec<u8>) -> State {
        match self.security {
            ClientSecurity::VncAuth(_) => State::Challenge(version),
            ClientSecurity::None if version == Version::V38 => State::Result(version),
            ClientSecurity::None => self.init(out),
        }
    }

    /// Sends ClientInit, shared.
    fn init(&self, out: &mut Vec<u8>) -> State {
        out.push(1);
        State::Init
    }
}

fn bounded(length: u32) -> Result<usize, ClientHandshakeError> {
    usize::try_from(length)
        .ok()
        .filter(|length| *length <= MOST_TEXT)
        .ok_or(ClientHandshakeError::TooLong { length })
}

fn refused(reason: &[u8]) -> ClientHandshakeError {
    ClientHandshakeError::Refused { reason: String::from_utf8_lossy(reason).into_owned() }
}
