//! Connecting to a broker's listener for agents, with an agent's patience.

use std::sync::Arc;
use std::time::Duration;

use abide_peers::{Answered, Patience};
use rustls::ClientConfig;
use tonic::transport::{Channel, Error};

/// A broker whose host was cut off is noticed after the two probes.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(5),
    probe_after: Duration::from_secs(2),
    probe_within: Duration::from_secs(3),
};

/// A channel to the broker at `address`, `host:port`.
///
/// # Errors
/// When there is no broker that `tls` accepts.
pub(crate) async fn dial(
    address: &str,
    tls: Arc<ClientConfig>,
) -> Result<(Channel, Answered), Error> {
    abide_peers::dial(address, tls, PATIENCE).await
}
