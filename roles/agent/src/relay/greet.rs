//! The two RFB handshakes.

use abide_rfb::{ClientHandshake, ClientSecurity, ServerHandshake, ServerSecurity};
use abide_ticket::ViewMode;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

use super::RelayError;
use super::frames::{self, Frames, HEADER, Kind, Piece};
use crate::owner::Screen;

/// What a viewer sends at once: keys, pointer, requests for updates; now and then a clipboard.
const READ: usize = 8 * 1024;

/// What a viewer sends.
pub(super) struct FromViewer<R> {
    pub(super) reader: R,
    pub(super) frames: Frames,
    pub(super) buffer: Box<[u8]>,
    early: Bytes,
}

impl<R: AsyncRead + Unpin> FromViewer<R> {
    pub(super) fn new(reader: R, early: Bytes) -> Self {
        Self { reader, frames: Frames::default(), buffer: vec![0; READ].into(), early }
    }

    /// Fills the buffer; gives how far. 0 means that the viewer has gone.
    pub(super) async fn fill(&mut self) -> Result<usize, RelayError> {
        if self.early.is_empty() {
            return self.reader.read(&mut self.buffer).await.map_err(RelayError::Viewer);
        }
        let part = self.early.split_to(self.early.len().min(READ));
        self.buffer[..part.len()].copy_from_slice(&part);
        Ok(part.len())
    }
}

/// Leads the viewer's handshake; gives what it sent after it.
pub(super) async fn viewer<R, W>(
    viewer: &mut FromViewer<R>,
    writer: &mut W,
) -> Result<Vec<u8>, RelayError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut handshake = ServerHandshake::new(ServerSecurity::None);
    send(writer, ServerHandshake::GREETING).await?;
    let (mut rest, mut accepted) = (Vec::new(), false);
    while !accepted {
        let filled = viewer.fill().await?;
        if filled == 0 {
            return Err(RelayError::Gone);
        }
        let mut input = &mut viewer.buffer[..filled];
        while let Some(piece) = viewer.frames.next(&mut input)? {
            match piece {
                Piece::Data(data) if accepted => rest.extend_from_slice(data),
                Piece::Data(mut data) => {
                    let mut out = Vec::new();
                    let fed = handshake.feed(&mut data, &mut out);
                    if !out.is_empty() {
                        send(writer, &out).await?;
                    }
                    accepted = fed.map_err(RelayError::ViewerHandshake)?.is_some();
                    rest.extend_from_slice(data);
                }
                Piece::Ping(content) => {
                    let pong = frames::control(Kind::Pong, &content);
                    writer.write_all(&pong).await.map_err(RelayError::Viewer)?;
                }
                Piece::Pong => {}
                Piece::Close => return Err(RelayError::Gone),
            }
        }
    }
    Ok(rest)
}

/// Opens the display server, and hands its greeting on to the viewer.
pub(super) async fn display<W: AsyncWrite + Unpin>(
    screen: &Screen,
    mode: ViewMode,
    writer: &mut W,
) -> Result<UnixStream, RelayError> {
    let mut display = UnixStream::connect(&screen.socket).await.map_err(RelayError::Display)?;
    let password = match mode {
        ViewMode::Control => screen.full.clone(),
        ViewMode::ViewOnly => screen.view.clone(),
    };
    let mut handshake = ClientHandshake::new(ClientSecurity::VncAuth(password));
    let mut buffer = [0; 4096];
    loop {
        let filled = display.read(&mut buffer).await.map_err(RelayError::Display)?;
        if filled == 0 {
            return Err(RelayError::DisplayClosed);
        }
        let (mut input, mut out) = (&buffer[..filled], Vec::new());
        let done = handshake.feed(&mut input, &mut out).map_err(RelayError::DisplayHandshake)?;
        display.write_all(&out).await.map_err(RelayError::Display)?;
        if let Some(init) = done {
            let mut first = init.encode();
            first.extend_from_slice(input);
            send(writer, &first).await?;
            return Ok(display);
        }
    }
}

async fn send<W: AsyncWrite + Unpin>(writer: &mut W, content: &[u8]) -> Result<(), RelayError> {
    let mut room = [0; HEADER];
    let start = frames::header(&mut room, Kind::Binary, content.len());
    let frame = [&room[start..], content].concat();
    writer.write_all(&frame).await.map_err(RelayError::Viewer)?;
    writer.flush().await.map_err(RelayError::Viewer)
}
