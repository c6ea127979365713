//! Between one viewer's WebSocket and its session's display server.
//!
//! Ends the RFB handshake on both sides, the viewer's first: the display server is opened only for
//! a viewer that speaks RFB, and always shared. Then bytes are passed on, each way as fast as its
//! reader takes them: a slow viewer slows down itself alone.
//!
//! ```text
//! viewer ── frames ──▶ (view-only filter) ──▶ Xvnc
//!    ▲                                          │ one buffer; the frame's header goes in front
//!    └──────────────── one write ◀──────────────┘
//! ```

pub(crate) mod frames;
mod greet;
mod pump;

use std::time::{Duration, Instant};

use abide_session::CloseReason;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::debug;

use crate::metrics::Counters;
use crate::owner::Attachment;
use frames::FrameError;

/// For a viewer's handshake, and for the display server's.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For what is being written when the end comes, and for the close frame.
const FAREWELL: Duration = Duration::from_secs(2);
/// Between the display server's end and the word on why.
const EXPLANATION: Duration = Duration::from_secs(3);

/// Why a relay ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    #[error("the viewer's connection broke")]
    Viewer(#[source] std::io::Error),
    #[error("the viewer has gone")]
    Gone,
    #[error(transparent)]
    Frames(#[from] FrameError),
    #[error("the viewer's RFB handshake failed")]
    ViewerHandshake(#[source] abide_rfb::ServerHandshakeError),
    #[error("the display server cannot be reached")]
    Display(#[source] std::io::Error),
    #[error("the display server's RFB handshake failed")]
    DisplayHandshake(#[source] abide_rfb::ClientHandshakeError),
    #[error("a view-only viewer sent what it may not")]
    Filter(#[source] abide_rfb::FilterError),
    #[error("the handshake took too long")]
    Slow,
    #[error("the display server closed")]
    DisplayClosed,
    #[error("nothing was heard of the viewer for too long")]
    Silent,
    #[error("sent away: {0:?}")]
    SentAway(CloseReason),
}

impl RelayError {
    /// What the viewer is told; `None` if there is nobody to tell.
    fn farewell(&self) -> Option<(u16, &'static str)> {
        Some(match self {
            Self::Viewer(_) | Self::Silent => return None,
            Self::Gone => (1000, ""),
            Self::Frames(FrameError::Protocol) => (1002, "not WebSocket"),
            Self::Frames(FrameError::Text) => (1003, "RFB is binary"),
            Self::ViewerHandshake(_) | Self::Filter(_) => (1008, "not RFB"),
            Self::Slow => (1008, "too slow"),
            Self::Display(_) | Self::DisplayHandshake(_) | Self::DisplayClosed => {
                (1011, "display server")
            }
            Self::SentAway(reason) => farewell(*reason),
        })
    }
}

/// The close code and its text.
pub(crate) fn farewell(reason: CloseReason) -> (u16, &'static str) {
    match reason {
        CloseReason::TakenOver => (abide_api::CLOSE_TAKEN_OVER, "another viewer took over"),
        CloseReason::Ended => (abide_api::CLOSE_ENDED, "the session has ended"),
        CloseReason::PassRevoked => (abide_api::CLOSE_PASS_REFUSED, "the pass was revoked"),
        CloseReason::Restarting => (1012, "the agent restarts"),
    }
}

/// Relays until one side ends it or the viewer is sent away. `early` is what the viewer sent along
/// with its request.
pub(crate) async fn relay<S>(stream: S, early: Bytes, attachment: Attachment, counters: Counters)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (reader, mut writer) = tokio::io::split(stream);
    let mut attachment = attachment;
    let mut viewer = greet::FromViewer::new(reader, early);
    let began = Instant::now();
    let end = match open(&mut viewer, &mut writer, &mut attachment).await {
        Ok((display, rest)) => {
            counters.attached.observe(began.elapsed().as_secs_f64());
            pump::pump(viewer, &mut writer, display, rest, &mut attachment, counters).await
        }
        Err(end) => end,
    };
    let end = explained(end, &mut attachment.close).await;
    debug!(end = &end as &dyn std::error::Error, "Relay ended");
    if let Some((code, reason)) = end.farewell() {
        // Whether it arrives is the viewer's business.
        let _ = timeout(FAREWELL, async {
            writer.write_all(&frames::close(code, reason)).await?;
            writer.shutdown().await
        })
        .await;
    }
}

/// Both handshakes; gives what the viewer has sent after its own.
async fn open<R, W>(
    viewer: &mut greet::FromViewer<R>,
    writer: &mut W,
    attachment: &mut Attachment,
) -> Result<(UnixStream, Vec<u8>), RelayError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let Attachment { screen, mode, close, .. } = attachment;
    let handshakes = async {
        let rest = timeout(HANDSHAKE, greet::viewer(viewer, writer)).await;
        let rest = rest.map_err(|_| RelayError::Slow)??;
        let display = timeout(HANDSHAKE, greet::display(screen, *mode, writer)).await;
        Ok((display.map_err(|_| RelayError::Slow)??, rest))
    };
    tokio::select! {
        opened = handshakes => opened,
        reason = close => Err(RelayError::SentAway(reason.unwrap_or(CloseReason::Restarting))),
    }
}

/// A display server that closes does so because its session ends, as a rule: then the viewer is
/// told that.
async fn explained(end: RelayError, close: &mut oneshot::Receiver<CloseReason>) -> RelayError {
    match end {
        RelayError::DisplayClosed | RelayError::Display(_) => {
            match timeout(EXPLANATION, close).await {
                Ok(Ok(reason)) => RelayError::SentAway(reason),
                _ => end,
            }
        }
        other => other,
    }
}
