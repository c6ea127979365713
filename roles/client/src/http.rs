//! The HTTP client, and whom it believes.

use std::error::Error;
use std::time::Duration;

use abide_tls::Fingerprint;
use rustls::pki_types::CertificateDer;

/// How long a TCP and TLS handshake may take before another broker is asked.
/// Longer than one lost packet costs.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// After so long without an acknowledgement a connection counts as dead, also in the kernel.
const UNACKNOWLEDGED_FOR: Duration = Duration::from_secs(6);

/// Whose certificates count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those by the CAs that this computer knows.
    System,
    /// Those by this one CA, which a person has compared by its fingerprint.
    Pinned(CertificateDer<'static>),
}

impl Trust {
    /// The pinned CA's fingerprint.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        match self {
            Trust::System => None,
            Trust::Pinned(ca) => Some(Fingerprint::of(ca)),
        }
    }

    /// A client that believes so, speaks HTTP/1.1 (WebSockets are opened with it too), and goes to
    /// servers directly.
    ///
    /// # Errors
    /// When the pinned certificate cannot be used.
    pub fn client(&self) -> Result<reqwest::Client, reqwest::Error> {
        match self {
            Trust::System => builder()
                .build()
                // A computer that knows no CA at all believes nobody, which is no reason to fail
                // before plain HTTP on loopback, or a fingerprint, was tried.
                .or_else(|_| builder().tls_certs_only([]).build()),
            Trust::Pinned(ca) => {
                let ca = reqwest::Certificate::from_der(ca)?;
                builder().tls_certs_only([ca]).build()
            }
        }
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("abide/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_WITHIN)
        .tcp_user_timeout(UNACKNOWLEDGED_FOR)
        .tcp_nodelay(true)
}

/// Whether the server was reached but its certificate is not believed.
pub(crate) fn is_distrust(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return matches!(error, rustls::Error::InvalidCertificate(_));
        }
        // The TLS error hides inside an I/O error, which does not name it as its source.
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .map(|inner| inner as &(dyn Error + 'static));
        cause = inner.or_else(|| error.source());
    }
    false
}
