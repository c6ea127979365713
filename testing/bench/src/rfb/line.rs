//! Lines to a relay.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Whatever carries bytes there and back.
pub trait Line: Read + Write + Send {}

impl Line for UnixStream {}
impl Line for TcpStream {}

/// TLS over TCP.
pub type Tls = StreamOwned<ClientConnection, TcpStream>;

impl Line for Tls {}

/// Whom a TLS client believes.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

/// No answer for so long means that the other side is stuck.
const PATIENCE: Duration = Duration::from_secs(20);

impl Trust {
    /// Those that `pem` certifies.
    ///
    /// Offers TLS 1.3 with AES-128-GCM alone, which is what browsers ask for first; so all relays
    /// do the same work.
    pub fn new(pem: &[u8]) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.add(certificate.context("the certificate is not PEM")?)?;
        }
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.cipher_suites =
            vec![rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
        let config = ClientConfig::builder_with_provider(provider.into())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(config.into()))
    }

    /// A connection, its handshake done.
    pub fn connect(&self, address: SocketAddr, host: &str) -> anyhow::Result<Tls> {
        let socket = tcp(address)?;
        let name = ServerName::try_from(host.to_owned())?;
        let mut tls = StreamOwned::new(ClientConnection::new(self.0.clone(), name)?, socket);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(tls)
    }
}

/// A TCP connection that sends at once.
pub fn tcp(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = TcpStream::connect(address).with_context(|| format!("cannot reach {address}"))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}
