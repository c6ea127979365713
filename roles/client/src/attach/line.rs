//! One line to a session: a WebSocket, opened by the pass.
//!
//! Opened with the HTTP client itself, so that there is one idea of whose certificates count.

use std::time::Duration;

use abide_api::Problem;
use reqwest::{StatusCode, Upgraded, header};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::Way;
use crate::http::is_distrust;

/// For the handshakes up to the WebSocket's.
const OPEN_WITHIN: Duration = Duration::from_secs(5);

pub(super) type Line = WebSocketStream<Upgraded>;

/// Why there is no line.
#[derive(Debug)]
pub(super) enum NoLine {
    /// The agent was not reached, or is not ready.
    Cut,
    Final(Final),
}

/// An answer that trying again does not change.
#[derive(Debug)]
pub(super) enum Final {
    PassRefused,
    /// The session has ended, the agent says.
    Over {
        reason: Option<String>,
    },
    Distrusted(reqwest::Error),
}

pub(super) async fn open(http: &reqwest::Client, way: &Way) -> Result<Line, NoLine> {
    tokio::time::timeout(OPEN_WITHIN, upgrade(http, way)).await.unwrap_or(Err(NoLine::Cut))
}

async fn upgrade(http: &reqwest::Client, way: &Way) -> Result<Line, NoLine> {
    let key = generate_key();
    let response = http
        .get(http_url(&way.rfb_url))
        .bearer_auth(way.pass.as_str())
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, &key)
        .header(header::SEC_WEBSOCKET_PROTOCOL, "binary")
        .send()
        .await
        .map_err(no_line)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refusal(response).await);
    }
    let accept = response.headers().get(header::SEC_WEBSOCKET_ACCEPT);
    let proof = derive_accept_key(key.as_bytes());
    if accept.is_none_or(|accept| accept.as_bytes() != proof.as_bytes()) {
        // Some proxy's answer, not the agent's.
        return Err(NoLine::Cut);
    }
    let stream = response.upgrade().await.map_err(no_line)?;
    // What is sent is flushed at once; a small buffer keeps the memory of many lines small.
    let config = WebSocketConfig::default().write_buffer_size(0);
    Ok(WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await)
}

/// `ws` is `http` that changes its mind.
pub(super) fn http_url(url: &str) -> String {
    match url.strip_prefix("ws") {
        Some(rest) => format!("http{rest}"),
        None => url.to_owned(),
    }
}

fn no_line(error: reqwest::Error) -> NoLine {
    match is_distrust(&error) {
        true => NoLine::Final(Final::Distrusted(error)),
        false => NoLine::Cut,
    }
}

async fn refusal(response: reqwest::Response) -> NoLine {
    match response.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => NoLine::Final(Final::PassRefused),
        StatusCode::GONE => {
            let problem: Option<Problem> = response.json().await.ok();
            NoLine::Final(Final::Over { reason: problem.and_then(|problem| problem.detail) })
        }
        _ => NoLine::Cut,
    }
}
