//! Who called, by the certificate that the connection showed.

use std::sync::Arc;

use abide_tls::{Node, NotANode, PeerIdentity, peer_identity};
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tonic::Status;

/// The certificate that a connection's client showed: an extension of each of its requests.
#[derive(Debug, Clone)]
pub struct Shown(Option<Arc<Certificate>>);

/// Read once, when the connection is made: an engine's messages are too many to read it for each.
#[derive(Debug)]
struct Certificate {
    der: CertificateDer<'static>,
    peer: Result<PeerIdentity, NotANode>,
}

impl Shown {
    /// What this connection's client showed.
    pub fn by(stream: &TlsStream<TcpStream>) -> Self {
        let chain = stream.get_ref().1.peer_certificates();
        let der = chain.and_then(|chain| chain.first()).map(|it| it.clone().into_owned());
        Self(der.map(|der| Arc::new(Certificate { peer: peer_identity(&der), der })))
    }

    /// The node whose certificate it was; none if it was no node's, or there was none.
    pub fn node(&self) -> Option<&Node> {
        self.0.as_ref()?.peer.as_ref().ok().map(|peer| &peer.node)
    }
}

/// The node that sent a request with these extensions.
///
/// # Errors
/// `UNAUTHENTICATED` when it showed no node's certificate.
pub fn who(extensions: &http::Extensions) -> Result<&PeerIdentity, Status> {
    let peer = certificate(extensions)?.peer.as_ref();
    peer.map_err(|cause| Status::unauthenticated(cause.to_string()))
}

/// The certificate that came with it.
///
/// # Errors
/// `UNAUTHENTICATED` when none was shown.
pub fn shown(extensions: &http::Extensions) -> Result<&CertificateDer<'static>, Status> {
    Ok(&certificate(extensions)?.der)
}

fn certificate(extensions: &http::Extensions) -> Result<&Certificate, Status> {
    let shown = extensions.get::<Shown>().and_then(|shown| shown.0.as_deref());
    shown.ok_or_else(|| Status::unauthenticated("a certificate is needed"))
}
