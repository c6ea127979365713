//! Asking a server of this host how it is.

use std::net::SocketAddr;
use std::time::Duration;

use crate::Metrics;
use crate::port::from_here;

/// A broker that has no leader takes a while to say so.
const WITHIN: Duration = Duration::from_secs(10);

/// A server of this host.
#[derive(Debug)]
pub struct Local {
    client: reqwest::Client,
    base: String,
}

impl Local {
    /// The one that listens at this address.
    ///
    /// Whoever may listen there is believed without a certificate, which has other names: nothing
    /// secret is said, and what is heard is only shown.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(address: SocketAddr, tls: bool) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(WITHIN)
            .tls_danger_accept_invalid_certs(true)
            .build()?;
        let scheme = if tls { "https" } else { "http" };
        Ok(Self { client, base: format!("{scheme}://{}", from_here(address)) })
    }

    /// Whether it answers that it is well, and its words.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ask(&self, path: &str) -> reqwest::Result<(bool, String)> {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await?;
        Ok((answer.status().is_success(), answer.text().await?))
    }

    /// Its metrics.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> reqwest::Result<Metrics> {
        Ok(Metrics::parse(&self.ask("/metrics").await?.1))
    }
}
