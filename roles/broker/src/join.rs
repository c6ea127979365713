//! Making this machine a further broker, on the strength of a one-time token.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use abide_model::BrokerId;
use abide_peers::{Patience, dial};
use abide_ticket::SigningKey;
use abide_tls::{
    BrokerIdentity, IdentityError, JoinAnswer, JoinToken, NodeKey, NodeRole, join_client,
};
use abide_wire::Speaks;
use abide_wire::agent::brokerage_client::BrokerageClient;
use abide_wire::agent::{JoinBrokerReply, JoinBrokerRequest};
use zeroize::Zeroizing;

use crate::formation::{Files, FormationError};
use crate::settings::Settings;

/// For the one call, connecting included.
const WITHIN: Duration = Duration::from_secs(15);
/// The call's own limit is what counts.
const PATIENCE: Patience = Patience { connect: WITHIN, probe_after: WITHIN, probe_within: WITHIN };

/// Why this machine did not become a broker.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The folder holds a node's identity, which is not thrown away.
    #[error("{} holds an identity already; to join anew, remove it first", folder.display())]
    Exists {
        /// The folder.
        folder: PathBuf,
    },
    /// The token is for an agent.
    #[error("the token is for an agent; `abide cluster token broker` makes one for a broker")]
    Role,
    /// No broker of the token's cluster was reached.
    #[error("cannot reach a broker of the token's cluster at {address}")]
    Unreachable {
        /// The last address that was tried, `host:port`.
        address: String,
        /// Why not; absent if it took too long.
        #[source]
        cause: Option<tonic::transport::Error>,
    },
    /// The broker said no.
    #[error("the broker refused: {}", cause.message())]
    Refused {
        /// What it said.
        #[source]
        cause: Box<tonic::Status>,
    },
    /// The broker's answer makes no identity, or it cannot be kept.
    #[error("cannot keep the new identity")]
    Identity(#[source] IdentityError),
    /// A mark of an earlier beginning.
    #[error("the identity folder cannot be used")]
    Folder(#[source] FormationError),
    /// The brokers' addresses cannot be kept.
    #[error("cannot write to {}", folder.display())]
    Write {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

/// Makes this machine's keys, has them certified by the first of `brokers` (`host:port` of their
/// listeners for agents) that answers, and puts the identity into the folder of `settings`.
///
/// # Errors
/// [`JoinError`]. Unless the folder could not be written, nothing was changed there.
pub async fn join(
    settings: &Settings,
    brokers: &[String],
    token: &JoinToken,
) -> Result<BrokerId, JoinError> {
    let folder = &settings.identity_dir;
    if folder.join("key.pem").exists() {
        return Err(JoinError::Exists { folder: folder.clone() });
    }
    if token.role != NodeRole::Broker {
        return Err(JoinError::Role);
    }
    let (key, seed) = (NodeKey::generate(), BrokerIdentity::new_signing_seed());
    let request = JoinBrokerRequest {
        token_secret: token.secret().to_string(),
        certificate_request: key.request(),
        names: vec![settings.public_url.host()],
        signing_key: SigningKey::from_seed(&seed).verifying_key().to_string(),
        public_url: settings.public_url.as_str().to_owned(),
        agent_address: settings.agent_address.clone(),
        speech: Some(Speaks::here(None).into()),
    };
    let reply = ask_any(brokers, token, &request).await?;
    let (ca_key, root_seed) = (Zeroizing::new(reply.ca_key), Zeroizing::new(reply.root_seed));
    let wrote = |cause| JoinError::Write { folder: folder.clone(), cause };
    std::fs::create_dir_all(folder).map_err(wrote)?;
    // The brokers first: an identity without them would be one that cannot start.
    let files = Files::new(folder);
    files.consume().map_err(JoinError::Folder)?;
    files.note_brokers(&reply.brokers).map_err(wrote)?;
    let answer = JoinAnswer {
        key,
        signing_seed: &seed,
        certificate: &reply.certificate,
        ca: &reply.ca,
        ca_key: &ca_key,
        root_seed: &root_seed,
    };
    let identity = BrokerIdentity::join(folder, answer).map_err(JoinError::Identity)?;
    Ok(identity.id().clone())
}

async fn ask_any(
    brokers: &[String],
    token: &JoinToken,
    request: &JoinBrokerRequest,
) -> Result<JoinBrokerReply, JoinError> {
    let mut silent = JoinError::Unreachable { address: String::new(), cause: None };
    for address in brokers {
        let answer = tokio::time::timeout(WITHIN, ask(address, token, request.clone())).await;
        match answer {
            Ok(Err(cause @ JoinError::Unreachable { .. })) => silent = cause,
            Ok(answer) => return answer,
            Err(_) => silent = JoinError::Unreachable { address: address.clone(), cause: None },
        }
    }
    Err(silent)
}

async fn ask(
    address: &str,
    token: &JoinToken,
    request: JoinBrokerRequest,
) -> Result<JoinBrokerReply, JoinError> {
    let (channel, _) = dial(address, join_client(token), PATIENCE).await.map_err(|cause| {
        JoinError::Unreachable { address: address.to_owned(), cause: Some(cause) }
    })?;
    let reply = BrokerageClient::new(channel).join_broker(request).await;
    reply
        .map(tonic::Response::into_inner)
        .map_err(|cause| JoinError::Refused { cause: cause.into() })
}
