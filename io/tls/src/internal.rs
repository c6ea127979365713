//! TLS between nodes: version 1.3, both sides with a certificate of the cluster's CA.
//!
//! A server's name is not checked, since a broker is its key and not its host. Instead: the chain
//! to the one CA, the URI of a node of the same cluster, and, where a client dials, that the node
//! is a broker.

use std::sync::Arc;

use abide_model::ClusterId;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    ServerConfig, SignatureScheme,
};

use crate::identity::Identity;
use crate::node::{NodeRole, peer_identity};
use crate::provider;

/// The name that a client sends (as SNI) when it dials a broker. It means nothing.
pub const INTERNAL_NAME: &str = "broker.abide.internal";

/// [`INTERNAL_NAME`], for a connector.
pub fn internal_name() -> ServerName<'static> {
    ServerName::try_from(INTERNAL_NAME).expect("it is a DNS name")
}

/// Which clients a server talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// Nodes of the cluster.
    Nodes,
    /// Also machines that are to become nodes, and have no certificate yet.
    NodesAndNewcomers,
}

impl Identity {
    /// For the listener that nodes dial. HTTP/2.
    pub fn internal_server(&self, clients: Clients) -> Arc<ServerConfig> {
        let verifier = NodeClients::new(self.ca(), self.cluster(), clients);
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("aws-lc has TLS 1.3")
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(self.shown().clone()));
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }

    /// For dialling a broker of the same cluster, under [`INTERNAL_NAME`]. HTTP/2.
    pub fn internal_client(&self) -> Arc<ClientConfig> {
        let verifier = BrokerServers { ca: self.ca().clone(), cluster: self.cluster() };
        let mut config = client_builder(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(self.shown().clone()));
        config.alpn_protocols = vec![b"h2".to_vec()];
        // Every connection proves itself anew: a resumed one would skip the certificates.
        config.resumption = Resumption::disabled();
        Arc::new(config)
    }
}

pub(crate) fn client_builder(
    verifier: Arc<dyn ServerCertVerifier>,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("aws-lc has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
}

/// Whether `certificate` is a server's by this CA, at this time. Names apart.
pub(crate) fn verify_chain(
    certificate: &CertificateDer<'_>,
    ca: &CertificateDer<'_>,
    now: UnixTime,
) -> Result<(), Error> {
    rustls::client::verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(certificate)?,
        &roots(ca)?,
        &[],
        now,
        provider().signature_verification_algorithms.all,
    )
}

pub(crate) fn roots(ca: &CertificateDer<'_>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone().into_owned())?;
    Ok(roots)
}

/// Accepts the cluster's brokers.
#[derive(Debug)]
pub(crate) struct BrokerServers {
    pub(crate) ca: CertificateDer<'static>,
    pub(crate) cluster: ClusterId,
}

impl ServerCertVerifier for BrokerServers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        verify_chain(end_entity, &self.ca, now)?;
        let peer = peer_identity(end_entity).map_err(|_| refused())?;
        if peer.cluster == self.cluster && peer.node.role() == NodeRole::Broker {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(refused())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Accepts the cluster's nodes.
#[derive(Debug)]
struct NodeClients {
    chain: Arc<dyn ClientCertVerifier>,
    cluster: ClusterId,
}

impl NodeClients {
    fn new(ca: &CertificateDer<'_>, cluster: ClusterId, clients: Clients) -> Self {
        let roots = roots(ca).expect("an identity's CA can be read");
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        let builder = match clients {
            Clients::Nodes => builder,
            Clients::NodesAndNewcomers => builder.allow_unauthenticated(),
        };
        Self { chain: builder.build().expect("there is one root and no revocation"), cluster }
    }
}

impl ClientCertVerifier for NodeClients {
    fn client_auth_mandatory(&self) -> bool {
        self.chain.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        match peer_identity(end_entity) {
            Ok(peer) if peer.cluster == self.cluster => Ok(verified),
            _ => Err(refused()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

pub(crate) fn tls13_signature(
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let algorithms = provider().signature_verification_algorithms;
    rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
}

pub(crate) fn refused() -> Error {
    Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
}

/// The configurations here offer version 1.3 alone, so no handshake comes this far in 1.2.
pub(crate) fn no_tls12() -> Error {
    Error::General("TLS 1.2 is not spoken between nodes".into())
}
