//! The first meeting with a broker: whether its certificate is believed, and if not, by whose CA it
//! is, for a person to compare.

use std::io;
use std::time::Duration;

use abide_config::BaseUrl;
use abide_tls::{Fingerprint, probe_client};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::http::{Trust, is_distrust};

/// For the whole look at a server's certificates.
const LOOK_WITHIN: Duration = Duration::from_secs(5);

/// What a first contact finds.
#[derive(Debug)]
pub enum Contact {
    /// The server is believed, or needs no belief (plain HTTP on loopback).
    Believed,
    /// It presents a CA that is not known here.
    UnknownCa(UnknownCa),
}

/// A CA that a person is to compare.
#[derive(Debug, Clone)]
pub struct UnknownCa {
    /// What to compare.
    pub fingerprint: Fingerprint,
    /// To pin, when it is the right one.
    pub ca: CertificateDer<'static>,
}

/// Why there is no contact.
#[derive(Debug, thiserror::Error)]
pub enum ContactError {
    /// A password would cross the network in the clear.
    #[error("{0} is not encrypted: use https:// (plain HTTP is for this computer alone)")]
    Plain(BaseUrl),
    /// The server cannot be reached.
    #[error("{url} cannot be reached")]
    Unreachable {
        /// The server.
        url: BaseUrl,
        /// Why not.
        #[source]
        cause: reqwest::Error,
    },
    /// The server was reached once, and then not again.
    #[error("{url} cannot be asked for its certificate")]
    NoLook {
        /// The server.
        url: BaseUrl,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The URL's host is none that a certificate can name.
    #[error("no certificate can name the host of {url}")]
    Name {
        /// The server.
        url: BaseUrl,
        /// What is wrong.
        #[source]
        cause: InvalidDnsNameError,
    },
    /// It presents its own certificate alone, so that there is no CA to compare.
    #[error("the certificate of {0} is not trusted here, and it does not show the CA it is by")]
    NoCa(BaseUrl),
}

/// Meets a broker, believing only the CAs of this computer.
///
/// # Errors
/// [`ContactError`].
pub async fn first_contact(url: &BaseUrl) -> Result<Contact, ContactError> {
    if !url.is_https() {
        return match url.is_loopback() {
            true => Ok(Contact::Believed),
            false => Err(ContactError::Plain(url.clone())),
        };
    }
    let unreachable = |cause| ContactError::Unreachable { url: url.clone(), cause };
    let http = Trust::System.client().map_err(unreachable)?;
    let health = http.get(format!("{url}/healthz")).timeout(LOOK_WITHIN);
    match health.send().await {
        Ok(_) => Ok(Contact::Believed),
        Err(error) if is_distrust(&error) => look(url).await.map(Contact::UnknownCa),
        Err(error) => Err(unreachable(error)),
    }
}

/// The CA at the end of the chain that the server shows.
async fn look(url: &BaseUrl) -> Result<UnknownCa, ContactError> {
    let name = ServerName::try_from(url.host())
        .map_err(|cause| ContactError::Name { url: url.clone(), cause })?;
    let (config, seen) = probe_client();
    let shake = async {
        let tcp = TcpStream::connect((url.host(), url.port())).await?;
        TlsConnector::from(config).connect(name, tcp).await.map(drop)
    };
    let looked = tokio::time::timeout(LOOK_WITHIN, shake).await;
    // The handshake is made to fail: what counts is what was seen before.
    let Some(chain) = seen.get() else {
        let cause = match looked {
            Ok(Err(cause)) => cause,
            Ok(Ok(())) | Err(_) => io::ErrorKind::TimedOut.into(),
        };
        return Err(ContactError::NoLook { url: url.clone(), cause });
    };
    match chain {
        [_own, .., ca] => Ok(UnknownCa { fingerprint: Fingerprint::of(ca), ca: ca.clone() }),
        _ => Err(ContactError::NoCa(url.clone())),
    }
}
