//! How a new machine gets in: a token that an administrator carries over.
//!
//! The token pins the CA, so the machine knows the right broker before it has any certificate;
//! and it carries a secret, good once, of which the cluster keeps only the hash.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use abide_model::{ClusterId, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use uuid::Uuid;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::fingerprint::{Fingerprint, sha256};
use crate::internal::{BrokerServers, client_builder, no_tls12, refused, tls13_signature};
use crate::node::NodeRole;
use crate::provider;

const PREFIX: &str = "abide1.";
const BODY_BYTES: usize = 16 + 32 + 16 + 1 + 8;
const CHECK_BYTES: usize = 4;

/// Why a text is no join token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a join token: it begins with \"abide1.\" and must be copied whole")]
pub struct InvalidJoinToken;

/// Lets one machine join the cluster, once. Its text is `abide1.` and base64url of: the cluster's
/// id (16 bytes), the CA's SHA-256 (32), the secret (16), the role (1), the end in milliseconds
/// since 1970 (8, big-endian), and the first 4 bytes of the SHA-256 of all that, against typing
/// errors.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// The cluster to join.
    pub cluster: ClusterId,
    /// Its CA.
    pub ca: Fingerprint,
    /// What the machine is to be.
    pub role: NodeRole,
    /// When the token ends if unused.
    pub expires: Timestamp,
    secret: Secret,
}

#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
struct Secret([u8; 16]);

impl JoinToken {
    /// A new token, with a secret from the system's random source.
    ///
    /// # Panics
    /// When the system has no random numbers to give.
    pub fn generate(
        cluster: ClusterId,
        ca: Fingerprint,
        role: NodeRole,
        expires: Timestamp,
    ) -> Self {
        let mut secret = Secret([0; 16]);
        aws_lc_rs::rand::fill(&mut secret.0).expect("the system's random source works");
        Self { cluster, ca, role, expires, secret }
    }

    /// The secret (32 hex digits), to be sent to the broker whose CA was checked.
    pub fn secret(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.secret.0))
    }

    /// What the cluster keeps of it: [`secret_hash`] of [`JoinToken::secret`].
    pub fn hash(&self) -> [u8; 32] {
        secret_hash(&self.secret())
    }

    /// The token for the administrator to carry.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(BODY_BYTES + CHECK_BYTES));
        bytes.extend_from_slice(self.cluster.0.as_bytes());
        bytes.extend_from_slice(&self.ca.0);
        bytes.extend_from_slice(&self.secret.0);
        bytes.push(role_byte(self.role));
        bytes.extend_from_slice(&self.expires.0.to_be_bytes());
        let check = sha256(&bytes);
        bytes.extend_from_slice(&check[..CHECK_BYTES]);
        Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&bytes[..])))
    }
}

/// The SHA-256 of a token's secret, which the table keeps. A plain hash will do, since the secret
/// is 128 random bits.
pub fn secret_hash(secret: &str) -> [u8; 32] {
    sha256(secret.as_bytes())
}

impl FromStr for JoinToken {
    type Err = InvalidJoinToken;

    fn from_str(text: &str) -> Result<Self, InvalidJoinToken> {
        let text = text.trim().strip_prefix(PREFIX).ok_or(InvalidJoinToken)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidJoinToken)?;
        let bytes = Zeroizing::new(bytes);
        let (body, check) = bytes.split_at_checked(BODY_BYTES).ok_or(InvalidJoinToken)?;
        if check != &sha256(body)[..CHECK_BYTES] {
            return Err(InvalidJoinToken);
        }
        let mut rest = body;
        let cluster = ClusterId(Uuid::from_bytes(take(&mut rest)?));
        let ca = Fingerprint(take(&mut rest)?);
        let secret = Secret(take(&mut rest)?);
        let [role] = take(&mut rest)?;
        let expires = Timestamp(u64::from_be_bytes(take(&mut rest)?));
        let role = [NodeRole::Broker, NodeRole::Agent]
            .into_iter()
            .find(|known| role_byte(*known) == role)
            .ok_or(InvalidJoinToken)?;
        Ok(Self { cluster, ca, role, expires, secret })
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({} for {}, secret not shown)", self.role, self.cluster)
    }
}

fn role_byte(role: NodeRole) -> u8 {
    match role {
        NodeRole::Broker => 1,
        NodeRole::Agent => 2,
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], InvalidJoinToken> {
    let (head, rest) = bytes.split_first_chunk().ok_or(InvalidJoinToken)?;
    *bytes = rest;
    Ok(*head)
}

/// For the one call of a newcomer: accepts a broker of the token's cluster, under the token's CA.
/// HTTP/2.
pub fn join_client(token: &JoinToken) -> Arc<ClientConfig> {
    let verifier = PinnedCa { cluster: token.cluster, ca: token.ca };
    let mut config = client_builder(Arc::new(verifier)).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// Takes the CA from what the server sends, if its hash is the pinned one.
#[derive(Debug)]
struct PinnedCa {
    cluster: ClusterId,
    ca: Fingerprint,
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned = |sent: &&CertificateDer<'_>| Fingerprint::of(sent) == self.ca;
        let ca = intermediates.iter().find(pinned).ok_or_else(refused)?;
        BrokerServers { ca: ca.clone().into_owned(), cluster: self.cluster }.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )
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
