//! Who called, by the certificate that the connection showed.

use abide_tls::{PeerIdentity, peer_identity};
use rustls::pki_types::CertificateDer;
use tonic::Status;

/// The certificate that a connection's client showed: an extension of each of its requests.
#[derive(Debug, Clone)]
pub struct Shown(pub Option<CertificateDer<'static>>);

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
