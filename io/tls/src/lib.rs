//! Keys, certificates and TLS: who is who between the servers, and how browsers reach them.
//!
//! Owns the cluster's certificate authority, a node's identity on disk, the rustls configurations,
//! and the one-time token that lets a new machine in. Opens no socket.
//!
//! A node *is* its key: its id is the hash of it, and its certificate says so in a URI,
//! `abide://<cluster>/agent/<id>`. Between nodes, host names and addresses prove nothing and are
//! not looked at.
//!
//! ```text
//! Authority ──issue──▶ Identity ──▶ internal_server / internal_client   mutual TLS 1.3
//!   (CA, root key)        └───────▶ WebCertificate                      for browsers
//! JoinToken ──────────▶ join_client                                     pins the CA by its hash
//! ```
//!
//! Everything names its cryptography (aws-lc) itself; the process-wide default of rustls is
//! neither used nor set.

mod authority;
mod broker;
mod bundle;
mod fingerprint;
mod identity;
mod internal;
mod join;
mod key;
mod node;
mod shown;
#[cfg(test)]
mod tests;
mod trust;
mod web;

pub use authority::{Authority, IssueError, Issued};
pub use broker::{BrokerIdentity, CreateError, JoinAnswer};
pub use bundle::{BundleError, open_bundle, seal_bundle};
pub use fingerprint::{Fingerprint, InvalidFingerprint};
pub use identity::{Identity, IdentityError};
pub use internal::{Clients, INTERNAL_NAME, internal_name};
pub use join::{InvalidJoinToken, JoinToken, join_client, secret_hash};
pub use key::{InvalidNodeKey, NodeKey};
pub use node::{Node, NodeRole, NotANode, PeerIdentity, certified_names, peer_identity};
pub use trust::{SeenChain, certificates_from_pem, pem_of, probe_client, trusting_client};
pub use web::{Reload, WebCertificate, WebError};

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}
