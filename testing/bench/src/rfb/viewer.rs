//! A viewer that counts bytes and looks at no pixel.

use std::time::{Duration, Instant};

use abide_rfb::{
    ClientHandshake, ClientSecurity, KeyState, Rect, Update, VncPassword, key_event, update_request,
};
use anyhow::ensure;

use super::display::{FRAME, KEY_ANSWER};
use super::line::Line;

/// What the other end of the line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Nothing within RFB: Abide's agent.
    None,
    /// A password, whichever: the fake display itself.
    AnyPassword,
}

/// A viewer that is through the handshake.
pub struct Viewer {
    line: Box<dyn Line>,
    buffer: Vec<u8>,
    size: (u16, u16),
}

/// Updates asked for before the first has come, so that no relay waits for the viewer.
const AHEAD: usize = 4;
/// The letter a.
const LETTER: u32 = 0x61;

impl Viewer {
    /// Does RFB's handshake.
    pub fn open(mut line: Box<dyn Line>, security: Security) -> anyhow::Result<Self> {
        let mut handshake = ClientHandshake::new(match security {
            Security::None => ClientSecurity::None,
            Security::AnyPassword => ClientSecurity::VncAuth(VncPassword::new("whatever")),
        });
        let mut buffer = vec![0; 256 << 10];
        let mut out = Vec::new();
        loop {
            let read = line.read(&mut buffer)?;
            ensure!(read > 0, "the line ended within the handshake");
            let mut input = &buffer[..read];
            let done = handshake.feed(&mut input, &mut out)?;
            line.write_all(&out)?;
            line.flush()?;
            out.clear();
            if let Some(init) = done {
                ensure!(input.is_empty(), "bytes after ServerInit that nobody asked for");
                return Ok(Self { line, buffer, size: (init.width, init.height) });
            }
        }
    }

    /// Fetches `count` whole updates of the fake display, and says how many bytes they were.
    pub fn fetch(&mut self, count: usize) -> anyhow::Result<usize> {
        let request = self.request(Update::Full);
        for _ in 0..count.min(AHEAD) {
            self.send(&request)?;
        }
        for done in 0..count {
            self.receive(FRAME)?;
            if done + AHEAD < count {
                self.send(&request)?;
            }
        }
        Ok(count * FRAME)
    }

    /// Presses a key, and gives the time until the whole answer of the fake display is here.
    pub fn press(&mut self) -> anyhow::Result<Duration> {
        let key = key_event(KeyState::Down, LETTER);
        let began = Instant::now();
        self.send(&key)?;
        self.receive(KEY_ANSWER)?;
        Ok(began.elapsed())
    }

    fn request(&self, update: Update) -> Vec<u8> {
        let (width, height) = self.size;
        update_request(update, Rect { x: 0, y: 0, width, height })
    }

    fn send(&mut self, message: &[u8]) -> anyhow::Result<()> {
        self.line.write_all(message)?;
        Ok(self.line.flush()?)
    }

    fn receive(&mut self, mut length: usize) -> anyhow::Result<()> {
        while length > 0 {
            let most = length.min(self.buffer.len());
            let read = self.line.read(&mut self.buffer[..most])?;
            ensure!(read > 0, "the line ended within an update");
            length -= read;
        }
        Ok(())
    }
}
