//! One connection of a node to this broker: HTTP/2 over mTLS, its certificate beside each request.

use std::error::Error;
use std::time::Duration;

use abide_tls::Node;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tonic::service::Routes;
use tower::ServiceExt;

use crate::WINDOW;
use crate::who::Shown;

/// Silence after which a node's connection is probed, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Calls at once on a broker's connection: one for each agent that it speaks with through this broker, and
/// it may be all of them. Others have hyper's limit.
const BROKER_STREAMS: u32 = 100_000;

/// Serves a connection, whose handshake is done, until it ends. Every request carries [`Shown`].
///
/// # Errors
/// The connection did not end in order.
pub async fn serve_node(
    stream: TlsStream<TcpStream>,
    routes: Routes,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let peer = Shown::by(&stream);
    let is_broker = matches!(peer.node(), Some(Node::Broker(_)));
    let service = routes.map_request(move |mut request: http::Request<_>| {
        request.extensions_mut().insert(peer.clone());
        request
    });
    let mut builder = auto::Builder::new(TokioExecutor::new()).http2_only();
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(2 * WINDOW);
    if is_broker {
        builder.http2().max_concurrent_streams(BROKER_STREAMS);
    }
    builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await
}
