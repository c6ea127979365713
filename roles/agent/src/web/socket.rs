//! The RFB WebSocket: who may open it, and handing it to the relay.

use abide_api::ProblemKind;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use axum::extract::{Path, Request, State};
use axum::http::header::{
    CONNECTION, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::downcast;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tracing::warn;

use super::App;
use super::answer::Failure;
use super::door::{Carrier, Place, Shown};
use crate::metrics::Counters;
use crate::owner::{Attachment, Denied, Door};
use crate::relay::{frames, relay};

/// RFC 6455, section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const BINARY: &str = "binary";

/// A `GET` of a session's RFB path.
pub(super) async fn open(
    State(app): State<App>,
    Path(place): Path<Place>,
    request: Request,
) -> Result<Response, Failure> {
    let (session, view_key) = place.parse()?;
    let shown = Shown::of(request.headers(), session);
    let shown =
        shown.ok_or_else(|| Failure::because(ProblemKind::PassRefused, "a pass is needed"))?;
    let hello = Hello::of(request.headers())?;
    let pass = match shown {
        Shown::Cookie(pass) => {
            // A browser sends the cookie for any page; only ours may use it.
            let own = app.0.settings.public_url.origin();
            if request
                .headers()
                .get(ORIGIN)
                .is_none_or(|origin| origin.as_bytes() != own.as_bytes())
            {
                let why = "a pass from a cookie is for this server's own page";
                return Err(Failure::because(ProblemKind::Forbidden, why));
            }
            let door = Door { session, view_key, pass: pass.hash() };
            return Ok(match app.0.owner.attach(door).await {
                Ok(attachment) => hello.accept(request, Guest::Viewer(attachment), &app),
                // Its page cannot read a refused handshake, but it can read a close code.
                Err(Denied::Pass) => {
                    hello.accept(request, Guest::Refused(abide_api::CLOSE_PASS_REFUSED), &app)
                }
                Err(Denied::Ended(_)) => {
                    hello.accept(request, Guest::Refused(abide_api::CLOSE_ENDED), &app)
                }
                Err(denied) => return Err(denied.into()),
            });
        }
        Shown::Bearer(pass) => pass,
        Shown::Ticket(ticket) => {
            let redeemed =
                app.shop().redeem(&ticket, Some((session, &view_key)), Carrier::Bearer).await?;
            redeemed.pass
        }
    };
    let door = Door { session, view_key, pass: pass.hash() };
    let attachment = app.0.owner.attach(door).await?;
    Ok(hello.accept(request, Guest::Viewer(attachment), &app))
}

/// Who gets the WebSocket.
enum Guest {
    Viewer(Attachment),
    /// It is closed again with this code.
    Refused(u16),
}

/// A handshake that is right so far.
struct Hello {
    accept: HeaderValue,
    binary: bool,
}

impl Hello {
    fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        let bad = |why: &str| Failure::because(ProblemKind::BadRequest, why);
        if !has_word(headers, UPGRADE, "websocket") || !has_word(headers, CONNECTION, "upgrade") {
            return Err(bad("this address is for WebSocket"));
        }
        if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return Err(bad("WebSocket must be of version 13"));
        }
        let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
        let key = key.filter(|key| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16));
        let key = key.ok_or_else(|| bad("Sec-WebSocket-Key must be 16 bytes in base64"))?;
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID.as_bytes()].concat());
        let accept = HeaderValue::from_str(&STANDARD.encode(hash))
            .map_err(|_| Failure::of(ProblemKind::Internal))?;
        Ok(Self { accept, binary: has_word(headers, SEC_WEBSOCKET_PROTOCOL, BINARY) })
    }

    fn accept(self, mut request: Request, guest: Guest, app: &App) -> Response {
        let upgrade = hyper::upgrade::on(&mut request);
        let counters = app.0.metrics.relayed();
        tokio::spawn(async move {
            match upgrade.await {
                Ok(upgraded) => receive(upgraded, guest, counters).await,
                Err(cause) => warn!(%cause, "A viewer's connection could not be upgraded"),
            }
        });
        let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        if self.binary {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(BINARY));
        }
        response
    }
}

/// Whether a header that is a list has this word, in any case.
fn has_word(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|it| it.trim().eq_ignore_ascii_case(word))
}

/// Takes the connection out of hyper's hands: the relay writes to it without a detour.
async fn receive(upgraded: Upgraded, guest: Guest, counters: Counters) {
    match downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => welcome(parts.io.into_inner(), parts.read_buf, guest, counters).await,
        Err(upgraded) => match downcast::<TokioIo<TlsStream<TcpStream>>>(upgraded) {
            Ok(parts) => welcome(parts.io.into_inner(), parts.read_buf, guest, counters).await,
            Err(_) => warn!("A viewer's connection is of an unknown kind"),
        },
    }
}

async fn welcome<S>(mut stream: S, early: bytes::Bytes, guest: Guest, counters: Counters)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send,
{
    match guest {
        Guest::Viewer(attachment) => relay(stream, early, attachment, counters).await,
        Guest::Refused(code) => {
            // Whether it arrives is the viewer's business.
            let _ = stream.write_all(&frames::close(code, "")).await;
            let _ = stream.shutdown().await;
        }
    }
}
