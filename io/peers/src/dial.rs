//! Connecting to a broker's internal listener.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use abide_model::BrokerId;
use abide_tls::{Node, internal_name, peer_identity};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Error, Uri};
use tower::Service;
use tower::service_fn;

use crate::WINDOW;

/// How long a connection may take, and be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For the connection and the handshake together.
    pub connect: Duration,
    /// Silence after which the other side is probed.
    pub probe_after: Duration,
    /// How long it may take to answer that.
    pub probe_within: Duration,
}

/// Who answered, by its certificate; known once the channel is.
#[derive(Debug, Clone, Default)]
pub struct Answered(Arc<OnceLock<BrokerId>>);

impl Answered {
    /// The broker, if it is one of a cluster's.
    pub fn broker(&self) -> Option<&BrokerId> {
        self.0.get()
    }
}

/// A channel to the broker at `address`, `host:port`.
///
/// # Errors
/// When there is no broker that `tls` accepts.
pub async fn dial(
    address: &str,
    tls: Arc<ClientConfig>,
    patience: Patience,
) -> Result<(Channel, Answered), Error> {
    let answered = Answered::default();
    let connector = connector(address, tls, answered.clone());
    let channel = endpoint(patience).connect_with_connector(connector).await?;
    Ok((channel, answered))
}

/// The same, connecting when it is first used, and anew whenever the connection is lost.
pub fn dial_lazily(address: &str, tls: Arc<ClientConfig>, patience: Patience) -> Channel {
    let connector = connector(address, tls, Answered::default());
    endpoint(patience).connect_with_connector_lazy(connector)
}

fn endpoint(patience: Patience) -> Endpoint {
    // The connector does TLS itself; the name means nothing.
    Endpoint::from_static("http://broker.abide.internal")
        .connect_timeout(patience.connect)
        .http2_keep_alive_interval(patience.probe_after)
        .keep_alive_timeout(patience.probe_within)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(2 * WINDOW)
}

fn connector(
    address: &str,
    tls: Arc<ClientConfig>,
    seen: Answered,
) -> impl Service<Uri, Response = TokioIo<TlsStream<TcpStream>>, Error = io::Error, Future: Send>
+ Send
+ 'static {
    let address = address.to_owned();
    service_fn(move |_| {
        let (seen, address, tls) = (seen.clone(), address.clone(), Arc::clone(&tls));
        async move {
            let stream = connect(&address, tls).await?;
            if let Some(broker) = broker_of(&stream) {
                // A second connection would be to the same broker, or refused.
                let _ = seen.0.set(broker);
            }
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    })
}

async fn connect(address: &str, tls: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    TlsConnector::from(tls).connect(internal_name(), tcp).await
}

fn broker_of(stream: &TlsStream<TcpStream>) -> Option<BrokerId> {
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    match peer_identity(certificate).ok()?.node {
        Node::Broker(broker) => Some(broker),
        Node::Agent(_) => None,
    }
}
