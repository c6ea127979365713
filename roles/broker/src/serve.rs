//! The two listeners: one for browsers and the command line, one for agents and brokers.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use abide_auth::LoginDesk;
use abide_peers::{ConsensusService, Shown, serve_node};
use abide_tls::{Node, WebCertificate};
use abide_wire::agent::brokerage_server::BrokerageServer;
use axum::Router;
use axum::extract::ConnectInfo;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tonic::service::Routes;
use tower::ServiceExt;
use tracing::debug;

use crate::broker::Broker;
use crate::peers::CooperationService;
use crate::stream::AgentService;

/// How long a client may take to shake hands or to send a request's head.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves browsers until `stop` changes.
pub async fn web(
    listener: TcpListener,
    certificate: Option<WebCertificate>,
    router: Router,
    stop: watch::Receiver<bool>,
) {
    let acceptor = certificate.map(|it| TlsAcceptor::from(it.server_config()));
    accept(listener, stop, move |stream, from| {
        let (acceptor, router) = (acceptor.clone(), router.clone());
        async move {
            match acceptor {
                None => http(stream, from, router).await,
                Some(acceptor) => {
                    if let Some(stream) = shake_hands(acceptor, stream).await {
                        http(stream, from, router).await;
                    }
                }
            }
        }
    })
    .await;
}

/// Serves agents and the other brokers until `stop` changes.
pub async fn nodes(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    broker: Broker,
    logins: LoginDesk,
    stop: watch::Receiver<bool>,
) {
    let speaker = broker.clone();
    let consensus =
        ConsensusService::server(broker.raft.clone(), move |broker| speaker.admits(broker));
    let routes = Routes::new(BrokerageServer::new(AgentService(broker.clone())))
        .add_service(consensus)
        .add_service(CooperationService::server(broker.clone(), logins))
        .prepare();
    let acceptor = TlsAcceptor::from(tls);
    accept(listener, stop, move |stream, from| {
        let (acceptor, routes, broker) = (acceptor.clone(), routes.clone(), broker.clone());
        async move {
            let Some(stream) = shake_hands(acceptor, stream).await else { return };
            if is_removed(&Shown::by(&stream), &broker) {
                return debug!(%from, "A removed broker is not let in");
            }
            if let Err(cause) = serve_node(stream, routes).await {
                debug!(cause, "A node's connection ended");
            }
        }
    })
    .await;
}

/// Whether it is the certificate of a broker that was removed from the cluster. One that this table does
/// not know yet is none: it may be newer than the table.
fn is_removed(shown: &Shown, broker: &Broker) -> bool {
    match shown.node() {
        Some(Node::Broker(id)) => !broker.admits(id),
        _ => false,
    }
}

async fn http<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    from: SocketAddr,
    router: Router,
) {
    let service = router.map_request(move |mut request: http::Request<_>| {
        request.extensions_mut().insert(ConnectInfo(from));
        request
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE);
    builder.http2().timer(TokioTimer::new());
    let service = TowerToHyperService::new(service);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    if let Err(cause) = connection.await {
        debug!(%from, cause, "A connection ended");
    }
}

/// Accepts connections and serves each in a task of its own. When told to stop, open connections are
/// cut: whoever is served elsewhere next retries.
async fn accept<S, F>(listener: TcpListener, mut stop: watch::Receiver<bool>, serve: S)
where
    S: Fn(TcpStream, SocketAddr) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    // Small answers must not wait for each other.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(serve(stream, from));
                }
                Err(cause) => {
                    // Most often out of descriptors: those that end give some back.
                    tracing::warn!(cause = %cause, "A connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            _ = stop.changed() => return,
        }
    }
}

async fn shake_hands(
    acceptor: TlsAcceptor,
    stream: TcpStream,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(cause)) => {
            debug!(cause = %cause, "A TLS handshake failed");
            None
        }
        Err(_) => None,
    }
}
