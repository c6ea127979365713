//! The certificate that a server or a node shows now, with its key and chain. Clones share it: listeners
//! and dialers that are in use already show the next one from their next handshake on.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

#[derive(Debug, Clone)]
pub(crate) struct Shown(Arc<ArcSwap<CertifiedKey>>);

impl Shown {
    pub(crate) fn new(key: CertifiedKey) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(key)))
    }

    pub(crate) fn now(&self) -> Arc<CertifiedKey> {
        self.0.load_full()
    }

    pub(crate) fn replace(&self, key: Arc<CertifiedKey>) {
        self.0.store(key);
    }

    /// The node's or the site's own certificate, without its chain.
    pub(crate) fn own(&self) -> Option<CertificateDer<'static>> {
        self.now().cert.first().cloned()
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now())
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.now())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
