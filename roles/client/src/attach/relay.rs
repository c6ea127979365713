//! Bytes between a local client and the line, and the verdict who ended it.
//!
//! The verdict is read from who closed first: a viewer's exit code is 0 either way.

use std::time::Duration;

use abide_api::{CLOSE_ENDED, CLOSE_PASS_REFUSED, CLOSE_TAKEN_OVER};
use abide_rfb::{ClientHandshake, ClientSecurity};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::line::Line;
use super::local::Client;

/// The agent's WebSocket answers every ping.
const PING_EVERY: Duration = Duration::from_secs(2);
/// So long without a sound, pongs included, the line counts as cut: three pings.
const SILENT_FOR: Duration = Duration::from_secs(6);
/// A farewell is a courtesy.
const FAREWELL_WITHIN: Duration = Duration::from_secs(1);
const PIECE: usize = 64 * 1024;

/// Who ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RelayEnd {
    ClientLeft,
    Cut,
    TakenOver,
    SessionEnded,
    PassRefused,
}

pub(super) async fn relay(mut line: Line, client: Client) -> RelayEnd {
    let mut greeting = Vec::new();
    if client.is_introduced() {
        greeting = match introduce(&mut line).await {
            Ok(greeting) => greeting,
            Err(end) => return end,
        };
    }
    let (mut to_line, from_line) = line.split();
    let (from_client, to_client) = tokio::io::split(client.stream);
    let end = tokio::select! {
        // The line's word first: what closes the client is then not taken for the person.
        biased;
        end = down(from_line, to_client, greeting) => end,
        end = up(from_client, &mut to_line, client.early) => end,
    };
    if end == RelayEnd::ClientLeft {
        let farewell =
            Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }));
        // Whether it arrives changes nothing: the agent sees the connection end.
        let _ = tokio::time::timeout(FAREWELL_WITHIN, to_line.send(farewell)).await;
    }
    end
}

/// Goes through the agent's RFB handshake for a client whose own ended here. Gives what that client
/// is to hear next.
async fn introduce(line: &mut Line) -> Result<Vec<u8>, RelayEnd> {
    let mut handshake = ClientHandshake::new(ClientSecurity::None);
    loop {
        let bytes = match tokio::time::timeout(SILENT_FOR, line.next()).await {
            Ok(Some(Ok(Message::Binary(bytes)))) => bytes,
            Ok(Some(Ok(Message::Close(frame)))) => return Err(meaning(frame)),
            Ok(Some(Ok(_))) => continue,
            Ok(Some(Err(_)) | None) | Err(_) => return Err(RelayEnd::Cut),
        };
        let (mut rest, mut answer) = (&bytes[..], Vec::new());
        let done = handshake.feed(&mut rest, &mut answer).map_err(|_| RelayEnd::Cut)?;
        if !answer.is_empty() {
            let sent = line.send(Message::Binary(answer.into())).await;
            sent.map_err(|_| RelayEnd::Cut)?;
        }
        if let Some(init) = done {
            return Ok([&init.encode(), rest].concat());
        }
    }
}

async fn down(
    mut from_line: SplitStream<Line>,
    mut to_client: impl AsyncWrite + Unpin,
    greeting: Vec<u8>,
) -> RelayEnd {
    if to_client.write_all(&greeting).await.is_err() {
        return RelayEnd::ClientLeft;
    }
    loop {
        // Only the wait for the line counts as its silence, not the client's slowness.
        let message = match tokio::time::timeout(SILENT_FOR, from_line.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(_)) | None) | Err(_) => return RelayEnd::Cut,
        };
        let written = match message {
            Message::Binary(bytes) => to_client.write_all(&bytes).await,
            Message::Close(frame) => return meaning(frame),
            _ => Ok(()),
        };
        if written.is_err() {
            return RelayEnd::ClientLeft;
        }
    }
}

async fn up(
    mut from_client: impl AsyncRead + Unpin,
    to_line: &mut SplitSink<Line, Message>,
    early: Vec<u8>,
) -> RelayEnd {
    if !early.is_empty() && to_line.send(Message::Binary(early.into())).await.is_err() {
        return RelayEnd::Cut;
    }
    let mut piece = vec![0; PIECE];
    let mut ping = tokio::time::interval(PING_EVERY);
    ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            read = from_client.read(&mut piece) => match read {
                Ok(0) | Err(_) => return RelayEnd::ClientLeft,
                Ok(length) => Message::Binary(Bytes::copy_from_slice(&piece[..length])),
            },
            _ = ping.tick() => Message::Ping(Bytes::new()),
        };
        if to_line.send(message).await.is_err() {
            // Why, the other direction says; a moment for it, then it was a cut.
            tokio::time::sleep(FAREWELL_WITHIN).await;
            return RelayEnd::Cut;
        }
    }
}

fn meaning(frame: Option<CloseFrame>) -> RelayEnd {
    match frame.map(|frame| u16::from(frame.code)) {
        Some(CLOSE_TAKEN_OVER) => RelayEnd::TakenOver,
        Some(CLOSE_ENDED) => RelayEnd::SessionEnded,
        Some(CLOSE_PASS_REFUSED) => RelayEnd::PassRefused,
        _ => RelayEnd::Cut,
    }
}
