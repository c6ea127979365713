//! Somebody who looks at a moving picture the whole time, through the product's client.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use abide_api::SessionReply;
use abide_client::{Api, Attachment, Local, Socket, enter};
use abide_rfb::{ClientHandshake, ClientSecurity, ServerEvent, Update, Viewer as Screen};
use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::world::ROOM;

/// Between two tries of a viewer whose line was cut.
const AGAIN: Duration = Duration::from_millis(10);
/// The first picture, and any other, comes within this, or the viewer counts as dead.
const PATIENCE: Duration = Duration::from_secs(30);

/// A viewer at work. Dropped, it goes.
#[derive(Debug)]
pub struct Viewer {
    seen: Arc<Seen>,
    line: JoinHandle<()>,
    looks: JoinHandle<anyhow::Result<()>>,
}

impl Viewer {
    /// Attaches, and waits for the first picture.
    ///
    /// # Errors
    /// When there is no way in, or no picture comes.
    pub async fn attach(api: Arc<Api>, reply: SessionReply) -> anyhow::Result<Self> {
        Self::look(api, reply, After::Ends).await
    }

    /// The same; when the line is cut, it looks on over the next. The time between is a gap too.
    ///
    /// # Errors
    /// The same.
    pub async fn attach_for_good(api: Arc<Api>, reply: SessionReply) -> anyhow::Result<Self> {
        Self::look(api, reply, After::LooksOn).await
    }

    async fn look(api: Arc<Api>, reply: SessionReply, after: After) -> anyhow::Result<Self> {
        let path = Path::new(ROOM).join(format!("viewer-{}", reply.session.id));
        let way = enter(&api, reply).await?;
        let local = Local::Socket(Socket::bind(path.clone())?);
        let line = tokio::spawn(async move {
            // How it ends is seen by who looks.
            let _ = Attachment::new(&api, way, &|_| {}).run(local).await;
        });
        let look = Look::begin(&path).await?;
        let seen = Arc::new(Seen::default());
        let looks = tokio::spawn(look.on(path, after, seen.clone()));
        Ok(Self { seen, line, looks })
    }

    /// The longest time without a new picture since this was asked last.
    ///
    /// # Errors
    /// When the viewer has lost its line.
    pub fn longest_gap(&self) -> anyhow::Result<Duration> {
        ensure!(!self.looks.is_finished(), "the viewer lost its line");
        Ok(Duration::from_nanos(self.seen.longest.swap(0, Ordering::Relaxed)))
    }

    /// How many pictures it has seen.
    pub fn pictures(&self) -> u64 {
        self.seen.pictures.load(Ordering::Relaxed)
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.looks.abort();
        self.line.abort();
    }
}

#[derive(Debug, Default)]
struct Seen {
    /// The longest time between two pictures since the last look, nanoseconds.
    longest: AtomicU64,
    pictures: AtomicU64,
}

/// What becomes of a viewer whose line was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Ends,
    LooksOn,
}

struct Look {
    stream: UnixStream,
    screen: Screen,
    piece: Vec<u8>,
}

impl Look {
    /// Waits for the first picture.
    async fn begin(path: &Path) -> anyhow::Result<Self> {
        let mut stream = UnixStream::connect(path).await?;
        let mut handshake = ClientHandshake::new(ClientSecurity::None);
        let mut piece = vec![0; 64 * 1024];
        let init = loop {
            let length = read(&mut stream, &mut piece).await?;
            let mut out = Vec::new();
            let init = handshake.feed(&mut &piece[..length], &mut out)?;
            stream.write_all(&out).await?;
            if let Some(init) = init {
                break init;
            }
        };
        let screen = Screen::new(&init)?;
        stream.write_all(&screen.opening()).await?;
        let mut look = Self { stream, screen, piece };
        look.picture().await?;
        Ok(look)
    }

    async fn on(mut self, path: PathBuf, after: After, seen: Arc<Seen>) -> anyhow::Result<()> {
        let mut last = Instant::now();
        loop {
            if let Err(cut) = self.picture().await {
                ensure!(after == After::LooksOn && last.elapsed() < PATIENCE, cut);
                match Self::begin(&path).await {
                    Ok(look) => self = look,
                    Err(_) => {
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    }
                }
            }
            let now = Instant::now();
            let gap = u64::try_from((now - last).as_nanos()).unwrap_or(u64::MAX);
            seen.longest.fetch_max(gap, Ordering::Relaxed);
            seen.pictures.fetch_add(1, Ordering::Relaxed);
            last = now;
        }
    }

    /// Waits for a whole picture, and asks for the next.
    async fn picture(&mut self) -> anyhow::Result<()> {
        loop {
            let length = read(&mut self.stream, &mut self.piece).await?;
            let events = self.screen.feed(&self.piece[..length])?;
            if events.iter().any(|event| matches!(event, ServerEvent::Updated { .. })) {
                return Ok(self
                    .stream
                    .write_all(&self.screen.request(Update::Incremental))
                    .await?);
            }
        }
    }
}

async fn read(stream: &mut UnixStream, piece: &mut [u8]) -> anyhow::Result<usize> {
    let read = tokio::time::timeout(PATIENCE, stream.read(piece)).await;
    let length = read.context("no picture comes")??;
    ensure!(length > 0, "the line ended");
    Ok(length)
}
