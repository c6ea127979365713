//! Who called, by the certificate that the connection showed.

use abide_tls::{PeerIdentity, peer_identity};
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tonic::Status;

/// The certificate that a connection's client showed: an extension of each of its requests.
#[derive(Debug, Clone)]
pub struct Shown(pub Option<CertificateDer<'static>>);

impl Shown {
    /// What this connection's client showed.
    pub fn by(stream: &TlsStream<TcpStream>) -> Self {
        let chain = stream.get_ref().1.peer_certificates();
        Self(chain.and_then(|chain| chain.first()).map(|it| it.clone().into_owned()))
    }
}

/// The node that sent a request with these extensions.
///
/// # Errors
/// `UNAUTHENTICATED` when it showed no node's certificate.
pub fn who(extensions: &http::Extensions) -> Result<PeerIdentity, Status> {
    let peer = peer_identity(shown(extensions)?);
    peer.map_err(|cause| Status::unauthenticated(cause.to_string()))
}

/// The certificate that came with it.
///
/// # Errors
/// `UNAUTHENTICATED` when none was shown.
pub fn shown(extensions: &http::Extensions) -> Result<&CertificateDer<'static>, Status> {
    let shown = extensions.get::<Shown>().and_then(|shown| shown.0.as_ref());
    shown.ok_or_else(|| Status::unauthenticated("a certificate is needed"))
}
