//! A viewer without a window, over the agent's WebSocket, or over the socket of `abide connect`.

use std::path::Path;
use std::time::{Duration, Instant};

use abide_rfb::{
    ClientHandshake, ClientSecurity, KeyState, ServerEvent, Update, Viewer, key_event,
};
use anyhow::{Context, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use http::header::{AUTHORIZATION, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderValue, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::image::Image;
use crate::wait::SOON;

/// A viewer that is through the handshake and holds the screen.
pub struct Rfb {
    line: Line,
    viewer: Viewer,
    /// When the last picture was whole.
    last: Instant,
}

/// What carries the bytes.
enum Line {
    Agent(Box<WebSocketStream<TcpStream>>),
    Local(UnixStream),
}

/// How a WebSocket begins.
#[derive(Debug, Clone, Default)]
pub struct Greeting {
    /// A ticket or a pass.
    pub bearer: Option<String>,
    /// What a browser sends along.
    pub cookie: Option<String>,
    /// Which page a browser says that it is on.
    pub origin: Option<String>,
}

/// Opens a WebSocket; gives the HTTP status instead when it is refused.
///
/// # Errors
/// When nobody answers with HTTP at `url`, which is `ws://…`.
pub async fn open(
    url: &str,
    greeting: &Greeting,
) -> anyhow::Result<Result<WebSocketStream<TcpStream>, u16>> {
    let mut request: Request<()> = url.into_client_request()?;
    let headers = request.headers_mut();
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("binary"));
    if let Some(bearer) = &greeting.bearer {
        headers.insert(AUTHORIZATION, format!("Bearer {bearer}").parse()?);
    }
    if let Some(cookie) = &greeting.cookie {
        headers.insert(http::header::COOKIE, cookie.parse()?);
    }
    if let Some(origin) = &greeting.origin {
        headers.insert(ORIGIN, origin.parse()?);
    }
    let host = request.uri().authority().context("the URL has no host")?.as_str().to_owned();
    let line = TcpStream::connect(&host).await?;
    line.set_nodelay(true)?;
    match timeout(SOON, client_async(request, line)).await? {
        Ok((socket, _)) => Ok(Ok(socket)),
        Err(Error::Http(response)) => Ok(Err(response.status().as_u16())),
        Err(other) => Err(other.into()),
    }
}

/// What a close frame without a code counts as (RFC 6455, 7.4.1).
const NO_CODE: u16 = 1005;
/// Read at once.
const PIECE: usize = 64 * 1024;

impl Rfb {
    /// Connects with a ticket or a pass, and waits for the whole first picture.
    ///
    /// # Errors
    /// When the agent refuses, or no picture comes in time.
    pub async fn connect(url: &str, bearer: &str) -> anyhow::Result<Self> {
        let greeting = Greeting { bearer: Some(bearer.to_owned()), ..Greeting::default() };
        match open(url, &greeting).await? {
            Ok(socket) => Self::over(Line::Agent(Box::new(socket))).await,
            Err(status) => bail!("the agent refused the WebSocket with {status}"),
        }
    }

    /// Connects to the socket of an `abide connect --socket`, and waits for the whole first picture.
    ///
    /// # Errors
    /// When nobody serves it, or no picture comes in time.
    pub async fn at_socket(path: &Path) -> anyhow::Result<Self> {
        Self::over(Line::Local(UnixStream::connect(path).await?)).await
    }

    async fn over(mut line: Line) -> anyhow::Result<Self> {
        let mut handshake = ClientHandshake::new(ClientSecurity::None);
        let mut out = Vec::new();
        let (init, early) = loop {
            let bytes = line.receive().await?;
            let mut rest = &bytes[..];
            let init = handshake.feed(&mut rest, &mut out)?;
            if !out.is_empty() {
                line.send(std::mem::take(&mut out)).await?;
            }
            if let Some(init) = init {
                break (init, rest.to_vec());
            }
        };
        ensure!(early.is_empty(), "the server speaks before it is asked");
        let viewer = Viewer::new(&init)?;
        line.send(viewer.opening()).await?;
        let mut rfb = Self { line, viewer, last: Instant::now() };
        rfb.next_frame().await?;
        Ok(rfb)
    }

    /// Waits for the next picture, and asks for the one after it.
    ///
    /// # Errors
    /// When the line ends, or no picture comes in time.
    pub async fn next_frame(&mut self) -> anyhow::Result<()> {
        loop {
            let bytes = self.line.receive().await?;
            let events = self.viewer.feed(&bytes)?;
            if events.iter().any(|it| matches!(it, ServerEvent::Updated { .. })) {
                self.line.send(self.viewer.request(Update::Incremental)).await?;
                self.last = Instant::now();
                return Ok(());
            }
        }
    }

    /// Watches until the screen is as wanted.
    ///
    /// # Errors
    /// When the line ends, or it is not in time.
    pub async fn until(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&Viewer) -> bool,
    ) -> anyhow::Result<()> {
        let watch = async {
            while !wanted(&self.viewer) {
                self.next_frame().await?;
            }
            anyhow::Ok(())
        };
        timeout(SOON, watch).await.with_context(|| format!("not in time: {what}"))?
    }

    /// Watches this many more pictures; gives the longest time without one, from the picture before
    /// them on, whatever the caller did meanwhile.
    ///
    /// # Errors
    /// When the line ends, or no picture comes in time.
    pub async fn longest_gap(&mut self, pictures: u32) -> anyhow::Result<Duration> {
        let mut longest = Duration::ZERO;
        for _ in 0..pictures {
            let before = self.last;
            self.next_frame().await?;
            longest = longest.max(self.last - before);
        }
        Ok(longest)
    }

    /// Presses a key and lets it go.
    ///
    /// # Errors
    /// When the line ends.
    pub async fn press(&mut self, keysym: u32) -> anyhow::Result<()> {
        for state in [KeyState::Down, KeyState::Up] {
            self.line.send(key_event(state, keysym)).await?;
        }
        Ok(())
    }

    /// What is on the screen.
    ///
    /// # Errors
    /// Never, unless the viewer's own pixels do not fit its size.
    pub fn screen(&self) -> anyhow::Result<Image> {
        Image::new(self.viewer.width(), self.viewer.height(), self.viewer.rgba().to_vec())
    }

    /// Waits until the agent closes, and gives its code.
    ///
    /// # Errors
    /// When the line is cut without a code, stays, or is none to the agent.
    pub async fn closed(&mut self) -> anyhow::Result<u16> {
        let Line::Agent(socket) = &mut self.line else {
            bail!("only the agent closes with a code");
        };
        let closing = async {
            loop {
                let message = socket.next().await.context("cut without a close frame")??;
                if let Message::Close(frame) = message {
                    return anyhow::Ok(frame.map_or(NO_CODE, |it| it.code.into()));
                }
            }
        };
        timeout(SOON, closing).await.context("the line stays")?
    }
}

impl Line {
    async fn send(&mut self, bytes: Vec<u8>) -> anyhow::Result<()> {
        match self {
            Self::Agent(socket) => socket.send(Message::binary(bytes)).await?,
            Self::Local(stream) => stream.write_all(&bytes).await?,
        }
        Ok(())
    }

    async fn receive(&mut self) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Agent(socket) => receive(socket).await,
            Self::Local(stream) => {
                let mut bytes = vec![0; PIECE];
                let length =
                    timeout(SOON, stream.read(&mut bytes)).await.context("nothing comes")?;
                bytes.truncate(length?);
                ensure!(!bytes.is_empty(), "the line ended");
                Ok(bytes)
            }
        }
    }
}

async fn receive(socket: &mut WebSocketStream<TcpStream>) -> anyhow::Result<Vec<u8>> {
    loop {
        let message = timeout(SOON, socket.next()).await.context("nothing comes")?;
        match message.context("the line ended")?? {
            Message::Binary(bytes) => return Ok(bytes.into()),
            Message::Close(frame) => bail!("the agent closed: {frame:?}"),
            _ => {}
        }
    }
}
