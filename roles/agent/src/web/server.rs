//! The listener: connections, TLS, and their bounds.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

/// Connections that speak HTTP at once; more wait in the kernel. Viewers are not counted: once the
/// WebSocket is open, their sessions bound them.
const CONNECTIONS: usize = 2048;
/// For a TLS handshake, and for a request's headers.
const GREETING: Duration = Duration::from_secs(10);
/// What was sent must be acknowledged within this, or the connection is given up: a viewer whose
/// line was cut does not hold its place for long. See tcp(7), TCP_USER_TIMEOUT.
const UNACKNOWLEDGED_MS: u32 = 30_000;
/// After an accept that failed, as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound address and how connections to it are protected.
pub(crate) struct Listener {
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    pub(crate) async fn bind(
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
    ) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        Ok(Self { tcp, tls: tls.map(TlsAcceptor::from) })
    }
}

/// Serves for ever. Dropping the future ends all connections but those that became WebSockets.
pub(crate) async fn serve(listener: Listener, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (tcp, from) = match listener.tcp.accept().await {
            Ok(accepted) => accepted,
            Err(cause) => {
                warn!(%cause, "A connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let (tls, router) = (listener.tls.clone(), router.clone());
        connections.spawn(async move {
            if let Err(cause) = connection(tcp, tls, router).await {
                debug!(%from, cause, "A connection broke");
            }
            drop(place);
        });
    }
}

type Broken = Box<dyn std::error::Error + Send + Sync>;

async fn connection(
    tcp: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
) -> Result<(), Broken> {
    tcp.set_nodelay(true)?;
    rustix::net::sockopt::set_tcp_user_timeout(&tcp, UNACKNOWLEDGED_MS)?;
    match tls {
        None => speak(tcp, router).await,
        Some(tls) => speak(timeout(GREETING, tls.accept(tcp)).await??, router).await,
    }
}

async fn speak<S>(stream: S, router: Router) -> Result<(), Broken>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(GREETING).max_buf_size(32 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(GREETING)
        .max_concurrent_streams(64);
    let service = TowerToHyperService::new(router);
    builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await
}
