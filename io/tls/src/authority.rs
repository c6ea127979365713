//! The cluster's own authority: its CA for certificates, its root key for the brokers' signing
//! keys. Made once, kept on brokers only.

use std::time::{Duration, SystemTime};

use abide_model::{BrokerId, ClusterId, Timestamp};
use abide_ticket::{KeyCertificate, SigningKey, VerifyingKey};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SanType,
};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::fingerprint::Fingerprint;
use crate::key::{NodeKey, id_of};
use crate::node::{Node, NodeRole, PeerIdentity};
use crate::trust::{certificates_from_pem, pem_of};

/// Certificates are valid from a day before they are made, for machines whose clock is wrong.
const BACKDATED: Duration = Duration::from_secs(24 * 3600);
/// A node's certificate: as long as the strictest browser takes from a private CA (825 days),
/// what it is backdated by included.
const NODE_LIFETIME: Duration = Duration::from_secs(823 * 24 * 3600);
/// The CA's: longer than a cluster lives.
const CA_LIFETIME: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

/// Why no certificate was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The request cannot be read, or its sender does not have the key it names.
    #[error("the certificate request cannot be read or is not signed by its own key")]
    Request(#[source] rcgen::Error),
    /// Its key is not ECDSA P-256.
    #[error("the certificate request's key is not ECDSA P-256")]
    KeyKind,
    /// A name that no certificate can carry.
    #[error("{name:?} is neither a DNS name nor an IP address")]
    Name {
        /// The name.
        name: String,
    },
    /// Signing failed.
    #[error("the certificate could not be signed")]
    Sign(#[source] rcgen::Error),
}

/// A new certificate.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Whose it is: the id comes from the request's key.
    pub node: Node,
    /// The certificate.
    pub pem: String,
}

/// The cluster's CA and root key.
pub struct Authority {
    cluster: ClusterId,
    key: NodeKey,
    certificate: CertificateDer<'static>,
    root_seed: Zeroizing<[u8; 32]>,
    root: SigningKey,
}

impl Authority {
    /// A new cluster's authority.
    ///
    /// # Panics
    /// When the system has no random numbers to give.
    pub fn create(cluster: ClusterId, now: SystemTime) -> Self {
        let key = NodeKey::generate();
        let mut params = CertificateParams::default();
        params.distinguished_name = name(&format!("Abide cluster {cluster}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = OffsetDateTime::from(now - BACKDATED);
        params.not_after = OffsetDateTime::from(now + CA_LIFETIME);
        let certificate = params.self_signed(key.pair()).expect("the CA's parameters are fixed");
        let certificate = certificate.der().clone();
        Self::from_parts(cluster, key, certificate, fresh_seed())
    }

    pub(crate) fn from_parts(
        cluster: ClusterId,
        key: NodeKey,
        certificate: CertificateDer<'static>,
        root_seed: Zeroizing<[u8; 32]>,
    ) -> Self {
        let root = SigningKey::from_seed(&root_seed);
        Self { cluster, key, certificate, root_seed, root }
    }

    /// Certifies the key of a request for a node of this role. `names` are the DNS names and IP
    /// addresses under which browsers reach it; the request has no say in them.
    ///
    /// # Errors
    /// [`IssueError`] when the request or a name is not right.
    pub fn issue(
        &self,
        request_pem: &str,
        role: NodeRole,
        names: &[String],
        now: SystemTime,
    ) -> Result<Issued, IssueError> {
        let request =
            CertificateSigningRequestParams::from_pem(request_pem).map_err(IssueError::Request)?;
        if request.public_key.algorithm() != &rcgen::PKCS_ECDSA_P256_SHA256 {
            return Err(IssueError::KeyKind);
        }
        let id = id_of(&request.public_key.subject_public_key_info());
        let node = Node::new(role, &id).expect("32 hex digits are an id");
        let params = self.node_params(&node, names, now)?;
        let certificate =
            params.signed_by(&request.public_key, &self.issuer()).map_err(IssueError::Sign)?;
        Ok(Issued { node, pem: certificate.pem() })
    }

    /// Certifies a broker's signing key: the token that agents and brokers take it on.
    pub fn certify(&self, broker: BrokerId, key: VerifyingKey, not_before: Timestamp) -> String {
        self.root.sign(self.cluster, &KeyCertificate { broker, public_key: key, not_before })
    }

    /// The cluster.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The key by which the brokers' signing keys are believed.
    pub fn root_key(&self) -> VerifyingKey {
        self.root.verifying_key()
    }

    /// The CA's certificate.
    pub fn ca(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The CA's certificate as PEM.
    pub fn ca_pem(&self) -> String {
        pem_of(&self.certificate)
    }

    /// What join tokens pin.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// The CA's key as PEM: for a new broker alone.
    pub fn ca_key_pem(&self) -> Zeroizing<String> {
        self.key.to_pem()
    }

    /// The root key's seed in hex: for a new broker alone.
    pub fn root_seed_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.root_seed()))
    }

    pub(crate) fn key(&self) -> &NodeKey {
        &self.key
    }

    pub(crate) fn root_seed(&self) -> &[u8; 32] {
        &self.root_seed
    }

    fn issuer(&self) -> Issuer<'static, &KeyPair> {
        Issuer::from_ca_cert_der(&self.certificate, self.key.pair())
            .expect("the CA's own certificate can be read")
    }

    fn node_params(
        &self,
        node: &Node,
        names: &[String],
        now: SystemTime,
    ) -> Result<CertificateParams, IssueError> {
        let uri = PeerIdentity { cluster: self.cluster, node: node.clone() }.to_string();
        let mut params = CertificateParams::default();
        params.distinguished_name = name(&format!("{} {}", node.role(), node.id()));
        params.subject_alt_names =
            vec![SanType::URI(uri.try_into().expect("a node's URI is ASCII"))];
        for name in names {
            params.subject_alt_names.push(alternative_name(name)?);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = OffsetDateTime::from(now - BACKDATED);
        params.not_after = OffsetDateTime::from(now + NODE_LIFETIME);
        Ok(params)
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({})", self.cluster)
    }
}

/// 32 bytes for a new Ed25519 key.
pub(crate) fn fresh_seed() -> Zeroizing<[u8; 32]> {
    let mut seed = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut seed[..]).expect("the system's random source works");
    seed
}

/// Reads a CA's certificate out of PEM.
pub(crate) fn only_certificate(pem: &str) -> Option<CertificateDer<'static>> {
    let mut all = certificates_from_pem(pem)?;
    if all.len() == 1 { all.pop() } else { None }
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn alternative_name(name: &str) -> Result<SanType, IssueError> {
    let invalid = || IssueError::Name { name: name.to_owned() };
    if let Ok(address) = name.parse() {
        return Ok(SanType::IpAddress(address));
    }
    rustls::pki_types::DnsName::try_from(name).map_err(|_| invalid())?;
    name.to_owned().try_into().map(SanType::DnsName).map_err(|_| invalid())
}
