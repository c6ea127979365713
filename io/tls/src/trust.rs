//! The command line's side of TLS: seeing what a server presents, and trusting one CA alone.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::internal::roots;
use crate::provider;

/// What a server presented, once the handshake of [`probe_client`] has failed.
#[derive(Debug, Clone, Default)]
pub struct SeenChain(Arc<OnceLock<Vec<CertificateDer<'static>>>>);

impl SeenChain {
    /// The server's certificates, its own first; `None` if it came to show none.
    pub fn get(&self) -> Option<&[CertificateDer<'static>]> {
        self.0.get().map(Vec::as_slice)
    }
}

/// For asking a server for its certificates and nothing else: every handshake with it fails, once
/// the certificates have been seen.
pub fn probe_client() -> (Arc<ClientConfig>, SeenChain) {
    let seen = SeenChain::default();
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("aws-lc has TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Probe(seen.clone())))
        .with_no_client_auth();
    (Arc::new(config), seen)
}

/// For dialling servers whose certificates this one CA signed, under their names.
///
/// # Errors
/// When the certificate cannot be read.
pub fn trusting_client(ca: &CertificateDer<'_>) -> Result<ClientConfig, Error> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(ca)?)
        .with_no_client_auth();
    Ok(config)
}

/// All certificates in a PEM text; `None` if one of them cannot be read, or there is none.
pub fn certificates_from_pem(text: &str) -> Option<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    all.ok().filter(|all| !all.is_empty())
}

/// A certificate as PEM.
pub fn pem_of(certificate: &CertificateDer<'_>) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new("CERTIFICATE", certificate.as_ref()), config)
}

#[derive(Debug)]
struct Probe(SeenChain);

impl ServerCertVerifier for Probe {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let all = std::iter::once(end_entity).chain(intermediates);
        let all = all.map(|certificate| certificate.clone().into_owned()).collect();
        // A second handshake with the same configuration changes nothing.
        let _ = self.0.0.set(all);
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
