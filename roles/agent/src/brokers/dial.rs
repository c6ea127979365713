//! Connecting to a broker's listener for agents.

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
use tonic::transport::{Channel, Endpoint, Error};
use tower::service_fn;

/// For the connection and the handshake together.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A broker whose host was cut off is noticed after these two.
const KEEPALIVE: Duration = Duration::from_secs(2);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(3);

/// Who answered, by its certificate; known once the channel is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answered(Arc<OnceLock<BrokerId>>);

impl Answered {
    /// The broker, if it is one of a cluster's.
    pub(crate) fn broker(&self) -> Option<&BrokerId> {
        self.0.get()
    }
}

/// A channel to the broker at `address`, `host:port`, with one connection: it is not made anew.
///
/// # Errors
/// When there is no broker that `tls` accepts.
pub(crate) async fn dial(
    address: &str,
    tls: Arc<ClientConfig>,
) -> Result<(Channel, Answered), Error> {
    let answered = Answered::default();
    let (seen, address) = (answered.clone(), address.to_owned());
    let connector = service_fn(move |_| {
        let (seen, address, tls) = (seen.clone(), address.clone(), Arc::clone(&tls));
        async move {
            let stream = connect(&address, tls).await?;
            if let Some(broker) = broker_of(&stream) {
                // A second connection would be to the same broker, or refused.
                let _ = seen.0.set(broker);
            }
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    // The connector does TLS itself; the name means nothing.
    let endpoint = Endpoint::from_static("http://broker.abide.internal")
        .connect_timeout(CONNECT_WITHIN)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_WITHIN)
        .keep_alive_while_idle(true);
    let channel = endpoint.connect_with_connector(connector).await?;
    Ok((channel, answered))
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
