//! What browsers see: the site's own certificate, reloaded live, or the node's by the cluster CA.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use tracing::{info, warn};

use crate::fingerprint::sha256;
use crate::identity::{Identity, validity};
use crate::provider;
use crate::shown::Shown;
use crate::trust::certificates_from_pem;

/// Why a certificate cannot be used for browsers.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// No certificates in the file.
    #[error("{} holds no certificates in PEM", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
    },
    /// No private key in the file.
    #[error("{} holds no private key in PEM", path.display())]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// Key and certificate do not belong together, or are of a kind that TLS does not know.
    #[error("the key in {} does not fit the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls says.
        #[source]
        cause: rustls::Error,
    },
}

/// What a reload did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// The files are as they were.
    Unchanged,
    /// There is a new certificate; new connections get it.
    Replaced {
        /// When it ends.
        expires_at: SystemTime,
    },
}

/// The certificate for browsers. Clones share it.
#[derive(Debug, Clone)]
pub struct WebCertificate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Source,
    shown: Shown,
    /// The files' content that was last looked at, good or bad, so that a bad one is told once.
    looked_at: Mutex<Option<[u8; 32]>>,
}

#[derive(Debug)]
enum Source {
    Identity,
    Files { certificate: PathBuf, key: PathBuf },
}

impl WebCertificate {
    /// The site's own: the certificate with its chain, and its key, both in PEM.
    ///
    /// # Errors
    /// [`WebError`] names the file and what is wrong with it.
    pub fn from_files(certificate: PathBuf, key: PathBuf) -> Result<Self, WebError> {
        let content = read_both(&certificate, &key)?;
        let shown = Shown::new(content.parse(&certificate, &key)?);
        let source = Source::Files { certificate, key };
        Ok(Self::new(source, shown, Some(content.hash())))
    }

    /// The node's, by the cluster's CA; a renewed one as soon as the identity has it.
    pub fn from_identity(identity: &Identity) -> Self {
        Self::new(Source::Identity, identity.shown().clone(), None)
    }

    fn new(source: Source, shown: Shown, looked_at: Option<[u8; 32]>) -> Self {
        Self(Arc::new(Inner { source, shown, looked_at: Mutex::new(looked_at) }))
    }

    /// For the browser-facing listener: TLS 1.3 and 1.2, HTTP/2 and HTTP/1.1.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("aws-lc has TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.0.shown.clone()));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if let Ok(ticketer) = rustls::crypto::aws_lc_rs::Ticketer::new() {
            config.ticketer = ticketer;
        }
        Arc::new(config)
    }

    /// When the certificate in use ends.
    pub fn expires_at(&self) -> SystemTime {
        let end = self.0.shown.own().and_then(|own| validity(&own).ok());
        let (_, end) = end.expect("it was read before it was shown");
        SystemTime::UNIX_EPOCH + Duration::from_secs(end.as_secs())
    }

    /// Looks at the files again, and takes them over if they changed and are right.
    ///
    /// # Errors
    /// [`WebError`] when they changed and are wrong: the old certificate stays in use, and the
    /// same wrong content is reported once.
    pub fn reload(&self) -> Result<Reload, WebError> {
        let Source::Files { certificate, key } = &self.0.source else {
            return Ok(Reload::Unchanged);
        };
        let content = read_both(certificate, key);
        let seen = content.as_ref().ok().map(Content::hash);
        {
            let mut looked_at = self.0.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
            if *looked_at == seen {
                return Ok(Reload::Unchanged);
            }
            *looked_at = seen;
        }
        self.0.shown.replace(Arc::new(content?.parse(certificate, key)?));
        Ok(Reload::Replaced { expires_at: self.expires_at() })
    }

    /// Reloads at this interval, for ever, and says what happens. Reads two small files each time.
    pub async fn keep_fresh(self, every: Duration) {
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            match self.reload() {
                Ok(Reload::Unchanged) => {}
                Ok(Reload::Replaced { expires_at }) => {
                    let days = expires_at
                        .duration_since(SystemTime::now())
                        .map_or(0, |left| left.as_secs() / 86_400);
                    info!(days_left = days, "Web certificate replaced");
                }
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "New web certificate is unusable; the old one stays in use"
                ),
            }
        }
    }
}

struct Content {
    certificate: String,
    key: zeroize::Zeroizing<Vec<u8>>,
}

fn read_both(certificate: &Path, key: &Path) -> Result<Content, WebError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|cause| WebError::Read { path: path.to_owned(), cause })
    };
    let certificate_text = String::from_utf8_lossy(&read(certificate)?).into_owned();
    Ok(Content { certificate: certificate_text, key: read(key)?.into() })
}

impl Content {
    fn hash(&self) -> [u8; 32] {
        let hashes = [sha256(self.certificate.as_bytes()), sha256(&self.key)];
        sha256(&hashes.concat())
    }

    fn parse(&self, certificate: &Path, key: &Path) -> Result<CertifiedKey, WebError> {
        let no_certificates = || WebError::Certificates { path: certificate.to_owned() };
        let chain = certificates_from_pem(&self.certificate).ok_or_else(no_certificates)?;
        chain.first().and_then(|own| validity(own).ok()).ok_or_else(no_certificates)?;
        let private = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| WebError::Key { path: key.to_owned() })?;
        CertifiedKey::from_der(chain, private, &provider()).map_err(|cause| WebError::Mismatch {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            cause,
        })
    }
}
