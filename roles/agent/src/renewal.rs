//! Keeps this agent's certificate from ending: any broker gives a new one for the one that still holds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use abide_tls::{Identity, IdentityError};
use abide_wire::agent::RenewRequest;
use abide_wire::agent::brokerage_client::BrokerageClient;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::brokers::dial;
use crate::cluster::Cluster;

/// How often it is looked whether the certificate is due; months are left then.
const LOOK_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// After a try that failed.
const RETRY_AFTER: Duration = Duration::from_secs(10 * 60);
/// For one broker, connecting included.
const WITHIN: Duration = Duration::from_secs(15);

/// What a renewal needs.
pub(crate) struct Renewal {
    pub(crate) identity: Arc<Identity>,
    pub(crate) folder: PathBuf,
    pub(crate) cluster: Cluster,
}

/// Why one broker gave no new certificate.
#[derive(Debug, thiserror::Error)]
enum RenewError {
    #[error("cannot connect")]
    Dial(#[source] tonic::transport::Error),
    #[error("the broker refused: {}", .0.message())]
    Refused(#[source] Box<tonic::Status>),
    #[error("the broker did not answer in time")]
    Slow,
    #[error("the new certificate cannot be used")]
    Identity(#[source] IdentityError),
}

impl Renewal {
    /// Looks at once, then daily, for ever.
    pub(crate) async fn keep(self) {
        loop {
            let now = SystemTime::now();
            let pause = match self.identity.is_due(now) && !self.renew().await {
                true => RETRY_AFTER,
                false => LOOK_EVERY,
            };
            if self.identity.expires_at() < now {
                error!("The certificate has ended: remove the identity folder, and join again");
            }
            sleep(pause).await;
        }
    }

    /// Asks one broker after the other; whether one gave a new certificate.
    async fn renew(&self) -> bool {
        let brokers = self.cluster.addresses().borrow().clone();
        for address in brokers {
            let asked = timeout(WITHIN, self.ask(&address)).await;
            match asked.unwrap_or(Err(RenewError::Slow)) {
                Ok(()) => {
                    info!(broker = address, "Certificate renewed");
                    return true;
                }
                Err(cause) => {
                    let cause = &cause as &dyn std::error::Error;
                    warn!(broker = address, cause, "No new certificate from this broker");
                }
            }
        }
        false
    }

    async fn ask(&self, address: &str) -> Result<(), RenewError> {
        let tls = self.identity.internal_client();
        let (channel, _) = dial(address, tls).await.map_err(RenewError::Dial)?;
        let request = RenewRequest { certificate_request: self.identity.request() };
        let reply = BrokerageClient::new(channel).renew(request).await;
        let reply = reply.map_err(|cause| RenewError::Refused(cause.into()))?.into_inner();
        self.identity.renew(&self.folder, &reply.certificate).map_err(RenewError::Identity)
    }
}
