//! Letting a new broker in.
//!
//! It brings a one-time token's secret over a connection on which it has checked this cluster's CA,
//! and gets what every broker has: the CA's key and the root key. Its own keys never leave it.

use abide_model::{Broker as Row, Change, Outcome, Timing};
use abide_tls::{Node, NodeRole, secret_hash};
use abide_wire::agent::{JoinBrokerReply, JoinBrokerRequest};
use tonic::Status;
use tracing::info;

use crate::broker::Broker;
use crate::stream::chain;

/// Bytes of an address or URL that goes into the table.
const MAX_TEXT: usize = 1_024;

/// Admits a broker.
///
/// # Errors
/// What was wrong with the request or its token; nothing was changed then.
pub async fn broker(
    broker: &Broker,
    request: JoinBrokerRequest,
) -> Result<JoinBrokerReply, Status> {
    broker.suits(&request.speech.into()).map_err(|cause| {
        Status::failed_precondition(format!(
            "{cause}; install a newer one on the new broker's host"
        ))
    })?;
    let hash = secret_hash(&request.token_secret);
    let authority = &broker.authority;
    let bad = |what: &str| Status::invalid_argument(what.to_owned());
    if request.agent_address.is_empty() || request.agent_address.len() > MAX_TEXT {
        return Err(bad("the address is empty or too long"));
    }
    let url: abide_config::BaseUrl =
        request.public_url.parse().map_err(|_| bad("the public URL is none"))?;
    let key = request.signing_key.parse().map_err(|_| bad("the signing key is none"))?;
    let issued = authority
        .issue(
            &request.certificate_request,
            NodeRole::Broker,
            &request.names,
            broker.clock.system_time(),
        )
        .map_err(|cause| Status::invalid_argument(chain(&cause)))?;
    let Node::Broker(id) = issued.node else {
        return Err(bad("the request is not a broker's"));
    };
    let row = Row {
        id: id.clone(),
        public_url: url.as_str().to_owned(),
        agent_address: request.agent_address.clone(),
        certificate: authority.certify(id.clone(), key, broker.clock.now()),
        // Until it says so itself.
        timing: Timing::default(),
    };
    match broker.propose(Change::AdmitBroker { hash, broker: row }).await {
        Ok(Outcome::Refused(refusal)) => Err(Status::permission_denied(refusal.to_string())),
        Ok(_) => {
            info!(broker = %id, address = request.agent_address, "Broker joined");
            let table = broker.table().await.map_err(|cause| Status::unavailable(chain(&cause)))?;
            Ok(JoinBrokerReply {
                cluster: authority.cluster().to_string(),
                certificate: issued.pem,
                ca: authority.ca_pem(),
                ca_key: authority.ca_key_pem().to_string(),
                root_seed: authority.root_seed_hex().to_string(),
                brokers: table.0.brokers().map(|it| it.agent_address.clone()).collect(),
            })
        }
        Err(cause) => Err(Status::unavailable(chain(&cause))),
    }
}
