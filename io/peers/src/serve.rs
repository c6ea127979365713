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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{Pending, pending};
    use std::sync::Arc;
    use std::task::{Context, Poll};
    use std::time::SystemTime;

    use abide_model::ClusterId;
    use abide_tls::{Authority, Clients, Identity, NodeKey, NodeRole};
    use tokio::net::TcpListener;
    use tokio::sync::Semaphore;
    use tokio::task::JoinSet;
    use tokio_rustls::TlsAcceptor;
    use tonic::body::Body;
    use tonic::server::NamedService;
    use tower::Service;

    use super::*;
    use crate::{Patience, dial};

    /// Counts the calls that come, and answers none.
    #[derive(Clone)]
    struct Mute(Arc<Semaphore>);

    impl NamedService for Mute {
        const NAME: &'static str = "test.Mute";
    }

    impl Service<http::Request<Body>> for Mute {
        type Response = http::Response<Body>;
        type Error = Infallible;
        type Future = Pending<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: http::Request<Body>) -> Self::Future {
            self.0.add_permits(1);
            pending()
        }
    }

    fn node(authority: &Authority, role: NodeRole) -> Identity {
        let key = NodeKey::generate();
        let issued = authority.issue(&key.request(), role, &[], SystemTime::now()).unwrap();
        Identity::new(key, &issued.pem, &authority.ca_pem(), authority.root_key()).unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_broker_may_speak_with_thousands_of_agents_through_one_connection() {
        const CALLS: u32 = 5_000;
        let authority = Authority::create(ClusterId(uuid::Uuid::new_v4()), SystemTime::now());
        let server = node(&authority, NodeRole::Broker);
        let acceptor = TlsAcceptor::from(server.internal_server(Clients::Nodes));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let come = Arc::new(Semaphore::new(0));
        let routes = Routes::new(Mute(Arc::clone(&come)));
        let mut all = JoinSet::new();
        all.spawn(async move {
            let stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
            let _ = serve_node(stream, routes).await;
        });

        let long = Duration::from_secs(60);
        let patience = Patience { connect: long, probe_after: long, probe_within: long };
        let caller = node(&authority, NodeRole::Broker);
        let dialled = dial(&address, caller.internal_client(), patience).await;
        let (channel, _) = dialled.unwrap();
        for _ in 0..CALLS {
            let mut channel = channel.clone();
            all.spawn(async move {
                let call = http::Request::post("/test.Mute/Listen").body(Body::empty()).unwrap();
                std::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
                let _ = channel.call(call).await;
            });
        }
        let waiting = tokio::time::timeout(long, come.acquire_many(CALLS)).await;
        assert!(waiting.is_ok(), "only {} calls came", come.available_permits());
    }
}
