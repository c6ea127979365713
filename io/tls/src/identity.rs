//! A node's identity, and its folder: `key.pem` (0600), `cert.pem`, `ca.pem`, `root.pub`. It lies
//! apart from the data, so that a machine whose data folder was lost is still itself.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use abide_config::{Access, replace_file};
use abide_model::ClusterId;
use abide_ticket::VerifyingKey;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::authority::only_certificate;
use crate::fingerprint::Fingerprint;
use crate::internal::verify_chain;
use crate::key::{InvalidNodeKey, NodeKey};
use crate::node::{NotANode, PeerIdentity, certified_names, peer_identity};
use crate::provider;
use crate::shown::Shown;
use crate::trust::pem_of;

/// Why a node has no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file of the folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// A file of the folder cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Others than its owner may read a private key.
    #[error("{} is readable by others (mode {mode:o}): run chmod 600 on it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The folder holds an identity already, which is not overwritten.
    #[error("{} holds an identity already", folder.display())]
    Exists {
        /// The folder.
        folder: PathBuf,
    },
    /// A file's content is not what its name says.
    #[error("{what} cannot be read from {}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// The private key cannot be read.
    #[error("the private key cannot be read")]
    Key(#[source] InvalidNodeKey),
    /// The certificate names no node.
    #[error("the certificate is not a node's")]
    Certificate(#[source] NotANode),
    /// The certificate is for another key.
    #[error("the certificate does not belong to the key")]
    Mismatch,
    /// The certificate is not by the cluster's CA, or not of its time.
    #[error("the certificate is not by this cluster's CA")]
    Chain(#[source] rustls::Error),
}

/// One broker or agent: its key, what the cluster says of it, and whom it believes.
#[derive(Debug)]
pub struct Identity {
    peer: PeerIdentity,
    key: NodeKey,
    shown: Shown,
    ca: CertificateDer<'static>,
    root: VerifyingKey,
}

impl Identity {
    /// Puts together what a node made (its key) and what it was given.
    ///
    /// # Errors
    /// [`IdentityError`] when the parts do not belong together.
    pub fn new(
        key: NodeKey,
        certificate_pem: &str,
        ca_pem: &str,
        root: VerifyingKey,
    ) -> Result<Self, IdentityError> {
        let read = |pem, path: &str, what| {
            only_certificate(pem).ok_or_else(|| IdentityError::Content { path: path.into(), what })
        };
        let certificate = read(certificate_pem, CERTIFICATE, "one certificate in PEM")?;
        let ca = read(ca_pem, CA, "one certificate in PEM")?;
        let peer = peer_identity(&certificate).map_err(IdentityError::Certificate)?;
        if key.node(peer.node.role()) != peer.node {
            return Err(IdentityError::Mismatch);
        }
        // Whether it has expired is for the peers to judge; here, whether it ever was right.
        let when = validity(&certificate).map_err(IdentityError::Certificate)?.0;
        verify_chain(&certificate, &ca, when).map_err(IdentityError::Chain)?;
        // The certificate, then the CA: who joins finds there what its token pins.
        let chain = vec![certificate, ca.clone()];
        let shown = CertifiedKey::from_der(chain, key.to_der(), &provider())
            .map_err(|_| IdentityError::Mismatch)?;
        Ok(Self { peer, key, shown: Shown::new(shown), ca, root })
    }

    /// The identity in this folder.
    ///
    /// # Errors
    /// [`IdentityError`] when a file is missing, exposed, or does not fit the others.
    pub fn load(folder: &Path) -> Result<Self, IdentityError> {
        let key = Self::load_key(folder)?;
        let certificate = read(&folder.join(CERTIFICATE))?;
        let ca = read(&folder.join(CA))?;
        let path = folder.join(ROOT);
        let root = read(&path)?.trim().parse();
        let root =
            root.map_err(|_| IdentityError::Content { path, what: "a public key in hex" })?;
        Self::new(key, &certificate, &ca, root)
    }

    /// The key in this folder alone, for a node whose cluster is lost.
    ///
    /// # Errors
    /// [`IdentityError`] when its file is missing, exposed, or holds none.
    pub fn load_key(folder: &Path) -> Result<NodeKey, IdentityError> {
        NodeKey::from_pem(&read_private(&folder.join(KEY))?).map_err(IdentityError::Key)
    }

    /// Writes the folder, making it (0700) if it is missing. An earlier identity in it is
    /// replaced, its key last, so that a cut leaves no mixture that loads.
    ///
    /// # Errors
    /// [`IdentityError::Write`] names the file.
    pub fn save(&self, folder: &Path) -> Result<(), IdentityError> {
        make_folder(folder)?;
        write(&folder.join(CA), pem_of(&self.ca).as_bytes(), Access::Everybody)?;
        write(&folder.join(ROOT), format!("{}\n", self.root).as_bytes(), Access::Everybody)?;
        self.save_certificate(folder)?;
        write(&folder.join(KEY), self.key.to_pem().as_bytes(), Access::Owner)
    }

    /// Takes a new certificate for the same node, once it is in the folder. What was made of this
    /// identity shows it from then on.
    ///
    /// # Errors
    /// [`IdentityError`] when it is not this node's, does not hold now, or cannot be written: nothing
    /// was changed then.
    pub fn renew(&self, folder: &Path, certificate_pem: &str) -> Result<(), IdentityError> {
        let key = NodeKey::from_pem(&self.key.to_pem()).map_err(IdentityError::Key)?;
        let renewed = Self::new(key, certificate_pem, &self.ca_pem(), self.root)?;
        if renewed.peer != self.peer {
            return Err(IdentityError::Mismatch);
        }
        verify_chain(&renewed.certificate(), &self.ca, UnixTime::now())
            .map_err(IdentityError::Chain)?;
        renewed.save_certificate(folder)?;
        self.shown.replace(renewed.shown.now());
        Ok(())
    }

    /// Whether less than a third of the certificate's life is left: then it is time for a new one.
    pub fn is_due(&self, now: SystemTime) -> bool {
        let (begin, end) = self.validity();
        let left = end.duration_since(now).unwrap_or_default();
        left * 3 < end.duration_since(begin).unwrap_or_default()
    }

    /// Who this node is.
    pub fn peer(&self) -> &PeerIdentity {
        &self.peer
    }

    /// Its cluster.
    pub fn cluster(&self) -> ClusterId {
        self.peer.cluster
    }

    /// The key by which the brokers' signing keys are believed.
    pub fn root_key(&self) -> VerifyingKey {
        self.root
    }

    /// The cluster's CA.
    pub fn ca(&self) -> &CertificateDer<'static> {
        &self.ca
    }

    /// The cluster's CA as PEM.
    pub fn ca_pem(&self) -> String {
        pem_of(&self.ca)
    }

    /// What people compare when they first trust the cluster.
    pub fn ca_fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.ca)
    }

    /// A signing request for the same key, to renew the certificate.
    pub fn request(&self) -> String {
        self.key.request()
    }

    /// When the certificate ends.
    pub fn expires_at(&self) -> SystemTime {
        self.validity().1
    }

    /// The DNS names and IP addresses that the certificate is good for.
    pub fn names(&self) -> Vec<String> {
        certified_names(&self.certificate()).expect(READ_BEFORE)
    }

    pub(crate) fn shown(&self) -> &Shown {
        &self.shown
    }

    fn certificate(&self) -> CertificateDer<'static> {
        self.shown.own().expect("it is shown with its chain")
    }

    fn validity(&self) -> (SystemTime, SystemTime) {
        let (begin, end) = validity(&self.certificate()).expect(READ_BEFORE);
        let time = |at: UnixTime| SystemTime::UNIX_EPOCH + Duration::from_secs(at.as_secs());
        (time(begin), time(end))
    }

    fn save_certificate(&self, folder: &Path) -> Result<(), IdentityError> {
        let pem = pem_of(&self.certificate());
        write(&folder.join(CERTIFICATE), pem.as_bytes(), Access::Everybody)
    }
}

const READ_BEFORE: &str = "it was read when this identity was made";

pub(crate) const KEY: &str = "key.pem";
const CERTIFICATE: &str = "cert.pem";
const CA: &str = "ca.pem";
const ROOT: &str = "root.pub";

/// The first and the last second of a certificate.
pub(crate) fn validity(certificate: &CertificateDer<'_>) -> Result<(UnixTime, UnixTime), NotANode> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| NotANode::Unreadable)?;
    let seconds = |time: x509_parser::time::ASN1Time| {
        let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    };
    Ok((seconds(parsed.validity().not_before), seconds(parsed.validity().not_after)))
}

pub(crate) fn make_folder(folder: &Path) -> Result<(), IdentityError> {
    let failed = |cause| IdentityError::Write { path: folder.to_owned(), cause };
    if !folder.is_dir() {
        std::fs::create_dir_all(folder).map_err(failed)?;
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}

pub(crate) fn write(path: &Path, content: &[u8], access: Access) -> Result<(), IdentityError> {
    replace_file(path, content, access)
        .map_err(|cause| IdentityError::Write { path: path.to_owned(), cause })
}

pub(crate) fn read(path: &Path) -> Result<String, IdentityError> {
    std::fs::read_to_string(path)
        .map_err(|cause| IdentityError::Read { path: path.to_owned(), cause })
}

pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<String>, IdentityError> {
    let failed = |cause| IdentityError::Read { path: path.to_owned(), cause };
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(IdentityError::Exposed { path: path.to_owned(), mode });
    }
    read(path).map(Zeroizing::new)
}
