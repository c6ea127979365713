//! A WebSocket client (RFC 6455) for a stream of bytes, without a copy more than needed.

use std::io::{self, BufRead, BufReader, Read, Write};

use anyhow::ensure;

use super::Line;

/// A WebSocket over a line.
pub struct WebSocket<L: Line> {
    line: BufReader<L>,
    /// Bytes of the current data frame that have not been read.
    left: u64,
}

const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

impl<L: Line> WebSocket<L> {
    /// Asks for a WebSocket at `path`. `ticket` goes as `Authorization: Bearer`.
    pub fn open(line: L, host: &str, path: &str, ticket: Option<&str>) -> anyhow::Result<Self> {
        let mut line = BufReader::new(line);
        let authorization =
            ticket.map(|it| format!("Authorization: Bearer {it}\r\n")).unwrap_or_default();
        // The key is to keep caches from answering; nothing here caches.
        write!(
            line.get_mut(),
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: binary\r\n{authorization}\r\n"
        )?;
        line.get_mut().flush()?;
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\n") {
            ensure!(line.read_line(&mut answer)? > 0, "no WebSocket: {answer:?}");
        }
        ensure!(answer.starts_with("HTTP/1.1 101"), "no WebSocket: {answer:?}");
        Ok(Self { line, left: 0 })
    }

    /// Reads headers until a data frame has bytes.
    fn next_frame(&mut self) -> io::Result<()> {
        while self.left == 0 {
            let [first, short] = self.take()?;
            let length = match short & 0x7f {
                126 => u16::from_be_bytes(self.take()?).into(),
                127 => u64::from_be_bytes(self.take()?),
                short => short.into(),
            };
            match first & 0x0f {
                0 | BINARY => self.left = length,
                kind => {
                    let mut content = Vec::new();
                    self.line.by_ref().take(length).read_to_end(&mut content)?;
                    match kind {
                        PING => self.send(PONG, &content)?,
                        PONG => {}
                        CLOSE => {
                            let reason = String::from_utf8_lossy(content.get(2..).unwrap_or(&[]));
                            return Err(io::Error::other(format!("the relay closed: {reason}")));
                        }
                        _ => return Err(io::ErrorKind::InvalidData.into()),
                    }
                }
            }
        }
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.line.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// One frame, masked with zeros: masks are against caches on the way, and there are none.
    fn send(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        let mut frame = vec![0x80 | kind];
        match u16::try_from(content.len()) {
            Ok(length @ 0..=125) => frame.push(0x80 | length as u8),
            Ok(length) => {
                frame.push(0x80 | 126);
                frame.extend(length.to_be_bytes());
            }
            Err(_) => return Err(io::ErrorKind::InvalidInput.into()),
        }
        frame.extend([0; 4]);
        frame.extend(content);
        self.line.get_mut().write_all(&frame)?;
        self.line.get_mut().flush()
    }
}

impl<L: Line> Read for WebSocket<L> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.next_frame()?;
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.line.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

impl<L: Line> Write for WebSocket<L> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let now = &bytes[..bytes.len().min(u16::MAX.into())];
        self.send(BINARY, now)?;
        Ok(now.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<L: Line> Line for WebSocket<L> {}
