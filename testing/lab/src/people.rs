//! Logging in, knowing all brokers.

use abide_client::{Api, Brokers, OneSecret, Trust};
use abide_cluster::{Cluster, TestUser};
use anyhow::Context;
use zeroize::Zeroizing;

/// What everybody's computer knows of the cluster.
#[derive(Debug)]
pub struct People {
    urls: Vec<String>,
    trust: Trust,
}

impl People {
    /// Of this cluster, all its brokers.
    ///
    /// # Errors
    /// When its CA cannot be read.
    pub fn of(cluster: &Cluster) -> anyhow::Result<Self> {
        let urls = cluster.brokers().iter().map(|broker| broker.url.to_string()).collect();
        Ok(Self { urls, trust: cluster.trust()? })
    }

    /// The same, knowing one broker alone, from 0.
    #[must_use]
    pub fn at(&self, broker: usize) -> Self {
        Self { urls: vec![self.urls[broker].clone()], trust: self.trust.clone() }
    }

    /// How many brokers are known.
    pub fn brokers(&self) -> usize {
        self.urls.len()
    }

    /// The API in this person's name.
    ///
    /// # Errors
    /// When the login is refused, or nobody answers within the client's own patience.
    pub async fn log_in(&self, user: &TestUser) -> anyhow::Result<Api> {
        let mut secret = OneSecret(Zeroizing::new(user.password.clone()));
        let login = self.client()?.login(&user.name, &mut secret).await?;
        Ok(Api::new(self.client()?, login.token))
    }

    fn client(&self) -> anyhow::Result<Brokers> {
        let urls = self.urls.iter().map(|url| url.parse()).collect::<Result<Vec<_>, _>>()?;
        Brokers::new(urls, &self.trust).context("the cluster's CA cannot be used")
    }
}
