//! A node's private key, and the id that comes of it.

use std::fmt;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::fingerprint::sha256;
use crate::node::{Node, NodeRole};

/// A text that holds no node's key.
#[derive(Debug, Clone, thiserror::Error)]
#[error("not the PEM of an ECDSA P-256 private key")]
pub struct InvalidNodeKey(#[source] rcgen::Error);

/// A node's private key: ECDSA on P-256, which every browser takes too.
pub struct NodeKey(KeyPair);

impl NodeKey {
    /// A new key, from the system's random source.
    ///
    /// # Panics
    /// When the system has no random numbers to give.
    pub fn generate() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256);
        Self(key.expect("the system's random source works"))
    }

    /// The key in this PEM text (PKCS#8).
    ///
    /// # Errors
    /// [`InvalidNodeKey`] when it holds none, or one of another kind.
    pub fn from_pem(text: &str) -> Result<Self, InvalidNodeKey> {
        KeyPair::from_pem_and_sign_algo(text, &PKCS_ECDSA_P256_SHA256)
            .map(Self)
            .map_err(InvalidNodeKey)
    }

    /// The key as PEM.
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.serialize_pem())
    }

    /// The node that has this key.
    pub fn node(&self, role: NodeRole) -> Node {
        let id = id_of(&self.0.subject_public_key_info());
        Node::new(role, &id).expect("32 hex digits are an id")
    }

    /// A certificate signing request (PEM), which proves that its sender has the key. It asks for
    /// nothing: what a certificate says is the authority's choice.
    pub fn request(&self) -> String {
        CertificateParams::default()
            .serialize_request(&self.0)
            .and_then(|request| request.pem())
            .expect("an empty request can be written and signed")
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.0
    }

    pub(crate) fn to_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.0.serialize_der()))
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", id_of(&self.0.subject_public_key_info()))
    }
}

/// A node's id: the first 16 bytes of the SHA-256 of its public key (DER of its
/// SubjectPublicKeyInfo), in hex.
pub(crate) fn id_of(public_key_info: &[u8]) -> String {
    hex::encode(&sha256(public_key_info)[..16])
}
