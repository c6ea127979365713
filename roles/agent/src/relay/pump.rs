//! Passing bytes on, both ways.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use abide_rfb::{InputSpotter, ViewOnlyFilter};
use abide_session::CloseReason;
use abide_ticket::ViewMode;
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use super::frames::{self, HEADER, Kind, Piece};
use super::greet::FromViewer;
use super::{FAREWELL, RelayError};
use crate::metrics::Counters;
use crate::owner::{Attachment, LastInput};

/// What is read from the display server at once. Each viewer has such a buffer, and as much again
/// of it encrypted.
const CHUNK: usize = 32 * 1024;
/// How often a viewer is asked for a sign of life.
const PING: Duration = Duration::from_secs(10);
/// A viewer that sends nothing and takes nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(30);
/// Answers to a viewer's pings that wait; of more it gets only some, as RFC 6455 allows.
const PONGS: usize = 4;

/// Passes on until one side ends, or the viewer is sent away. `rest` is what it sent already.
pub(super) async fn pump<R, W>(
    mut viewer: FromViewer<R>,
    writer: &mut W,
    mut display: UnixStream,
    rest: Vec<u8>,
    attachment: &mut Attachment,
    counters: Counters,
) -> RelayError
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let life = Life::new();
    let (from_display, to_display) = display.split();
    let (pong, pongs) = mpsc::channel(PONGS);
    let mut inward = Inward {
        to: to_display,
        way: match attachment.mode {
            ViewMode::ViewOnly => Way::Filtered(ViewOnlyFilter::new()),
            ViewMode::Control => Way::Open(InputSpotter::new(), attachment.input.clone()),
        },
        pong,
        counter: counters.to_displays,
    };
    let (stop, stopped) = oneshot::channel();
    let outward = Outward {
        from: from_display,
        to: writer,
        pongs,
        close: &mut attachment.close,
        stopped,
        counter: counters.to_viewers,
        life: &life,
    };
    let outward = outward.run();
    tokio::pin!(outward);
    tokio::select! {
        end = &mut outward => end,
        end = inward.run(&mut viewer, &rest, &life) => {
            // Let the frame that is being written come to its end: what follows must be one too.
            drop(stop);
            match timeout(FAREWELL, outward).await {
                Ok(RelayError::Gone) => end,
                Ok(other) => other,
                Err(_) => RelayError::Silent,
            }
        }
        () = life.silence() => RelayError::Silent,
    }
}

/// What becomes of what a viewer says.
enum Way {
    /// It passes; what its person does is noted.
    Open(InputSpotter, LastInput),
    /// Nothing passes that would change anything.
    Filtered(ViewOnlyFilter),
}

/// From the viewer to the display server.
struct Inward<'d> {
    to: WriteHalf<'d>,
    way: Way,
    pong: mpsc::Sender<Vec<u8>>,
    counter: Counter,
}

impl Inward<'_> {
    async fn run<R: AsyncRead + Unpin>(
        &mut self,
        viewer: &mut FromViewer<R>,
        rest: &[u8],
        life: &Life,
    ) -> RelayError {
        let result = async {
            self.pass(rest).await?;
            loop {
                let filled = viewer.fill().await?;
                if filled == 0 {
                    return Err(RelayError::Gone);
                }
                life.sign();
                let mut input = &mut viewer.buffer[..filled];
                while let Some(piece) = viewer.frames.next(&mut input)? {
                    match piece {
                        Piece::Data(data) => self.pass(data).await?,
                        Piece::Ping(content) => {
                            // When full, earlier answers are on their way.
                            let _ = self.pong.try_send(content);
                        }
                        Piece::Pong => {}
                        Piece::Close => return Err(RelayError::Gone),
                    }
                }
            }
        };
        let Err::<std::convert::Infallible, _>(end) = result.await;
        end
    }

    async fn pass(&mut self, data: &[u8]) -> Result<(), RelayError> {
        let written = match &mut self.way {
            Way::Open(spotter, input) => {
                if spotter.sees(data) {
                    input.note();
                }
                self.to.write_all(data).await
            }
            Way::Filtered(filter) => {
                let allowed = filter.filter(data).map_err(RelayError::Filter)?;
                self.to.write_all(&allowed).await
            }
        };
        self.counter.inc_by(data.len() as u64);
        written.map_err(|_| RelayError::DisplayClosed)
    }
}

/// From the display server to the viewer.
struct Outward<'r, 'd, W> {
    from: ReadHalf<'d>,
    to: &'r mut W,
    pongs: mpsc::Receiver<Vec<u8>>,
    close: &'r mut oneshot::Receiver<CloseReason>,
    /// Ends when the other direction has ended.
    stopped: oneshot::Receiver<()>,
    counter: Counter,
    life: &'r Life,
}

impl<W: AsyncWrite + Unpin> Outward<'_, '_, W> {
    /// Ends between two frames, unless the viewer cannot be written to.
    async fn run(mut self) -> RelayError {
        let mut buffer = vec![0; HEADER + CHUNK].into_boxed_slice();
        let mut ping = interval_at(Instant::now() + PING, PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let result = tokio::select! {
                biased;
                _ = &mut self.stopped => return RelayError::Gone,
                reason = &mut *self.close => return sent_away(reason.ok()),
                _ = ping.tick() => self.write(&frames::control(Kind::Ping, &[])).await,
                Some(content) = self.pongs.recv() => {
                    self.write(&frames::control(Kind::Pong, &content)).await
                }
                read = self.from.read(&mut buffer[HEADER..]) => match read {
                    Ok(0) | Err(_) => return RelayError::DisplayClosed,
                    Ok(length) => {
                        let frame = framed(&mut buffer, length);
                        let result = self.write(frame).await;
                        self.life.sign();
                        self.counter.inc_by(length as u64);
                        result
                    }
                },
            };
            if let Err(end) = result {
                return end;
            }
        }
    }

    /// Writes one frame; a viewer that is sent away meanwhile gets a moment to take it.
    async fn write(&mut self, frame: &[u8]) -> Result<(), RelayError> {
        let to = &mut *self.to;
        let writing = async {
            to.write_all(frame).await?;
            to.flush().await
        };
        tokio::pin!(writing);
        tokio::select! {
            biased;
            written = &mut writing => written.map_err(RelayError::Viewer),
            reason = &mut *self.close => match timeout(FAREWELL, writing).await {
                Ok(Ok(())) => Err(sent_away(reason.ok())),
                Ok(Err(cause)) => Err(RelayError::Viewer(cause)),
                Err(_) => Err(RelayError::Silent),
            },
        }
    }
}

fn sent_away(reason: Option<CloseReason>) -> RelayError {
    // An owner that is gone without a word is a daemon that stops.
    RelayError::SentAway(reason.unwrap_or(CloseReason::Restarting))
}

/// Puts a frame's header right before its content, which is in its place already.
fn framed(buffer: &mut [u8], length: usize) -> &[u8] {
    let Some((room, _)) = buffer.split_first_chunk_mut::<HEADER>() else { return &[] };
    let start = frames::header(room, Kind::Binary, length);
    &buffer[start..HEADER + length]
}

/// The viewer's last sign of life: it sent something, or took a picture.
struct Life {
    begun: Instant,
    last: AtomicU64,
}

impl Life {
    fn new() -> Self {
        Self { begun: Instant::now(), last: AtomicU64::new(0) }
    }

    fn sign(&self) {
        let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(since, Ordering::Relaxed);
    }

    /// Comes to its end when there was none for too long.
    async fn silence(&self) {
        loop {
            let last = self.begun + Duration::from_millis(self.last.load(Ordering::Relaxed));
            let left = (last + SILENCE).saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }
}
