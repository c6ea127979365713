//! Real handshakes over an in-memory pipe, and the folder on disk.

mod folder;
mod handshakes;
mod renewal;
mod texts;
mod web;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use abide_model::{ClusterId, Timestamp};
use proptest::prelude::*;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use uuid::Uuid;

use crate::*;

const CLUSTER: ClusterId = ClusterId(Uuid::from_u128(0xabcd));

fn now() -> SystemTime {
    SystemTime::now()
}

fn authority() -> Authority {
    Authority::create(CLUSTER, now())
}

fn node_of(authority: &Authority, role: NodeRole, when: SystemTime) -> Identity {
    let key = NodeKey::generate();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let issued = authority.issue(&key.request(), role, &names, when).unwrap();
    Identity::new(key, &issued.pem, &authority.ca_pem(), authority.root_key()).unwrap()
}

fn broker_of(authority: &Authority) -> Identity {
    node_of(authority, NodeRole::Broker, now())
}

fn agent_of(authority: &Authority) -> Identity {
    node_of(authority, NodeRole::Agent, now())
}

fn own(identity: &Identity) -> CertificateDer<'static> {
    identity.shown().own().unwrap()
}

/// What each side knows of the other once both have said a word; an error if either refused.
async fn shake(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: &'static str,
) -> std::io::Result<(Vec<CertificateDer<'static>>, Option<CertificateDer<'static>>)> {
    let (near, far) = tokio::io::duplex(16 * 1024);
    let server = async move {
        let mut stream = TlsAcceptor::from(server).accept(far).await?;
        let first = |certs: &[CertificateDer<'_>]| certs.first().map(|c| c.clone().into_owned());
        let client = stream.get_ref().1.peer_certificates().and_then(first);
        stream.write_all(b"hello").await?;
        stream.shutdown().await?;
        std::io::Result::Ok(client)
    };
    let client = async move {
        let name = ServerName::try_from(name).unwrap();
        let mut stream = TlsConnector::from(client).connect(name, near).await?;
        let server = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
        let mut word = Vec::new();
        // In TLS 1.3 a client learns only now whether its certificate was accepted.
        stream.read_to_end(&mut word).await?;
        std::io::Result::Ok(server)
    };
    let (seen_by_client, seen_by_server) = tokio::join!(client, server);
    Ok((seen_by_client?, seen_by_server?))
}
