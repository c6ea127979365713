//! Making this machine an agent, on the strength of a one-time token.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use abide_config::{Access, replace_file};
use abide_model::AgentId;
use abide_ticket::InvalidKey;
use abide_tls::{Identity, IdentityError, JoinToken, Node, NodeKey, NodeRole, join_client};
use abide_wire::agent::brokerage_client::BrokerageClient;
use abide_wire::agent::{JoinReply, JoinRequest};
use tokio::time::timeout;

use crate::brokers::dial;

/// The addresses of the brokers' agent listeners, one a line, as they were when the agent joined.
const BROKERS: &str = "brokers";
/// For the one call, connecting included.
const WITHIN: Duration = Duration::from_secs(15);

/// Why this machine did not become an agent.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The folder holds a node's identity, which is not thrown away.
    #[error(
        "{} holds an identity already; if its cluster's brokers and keys are lost, --replace-cluster \
         leaves it",
        folder.display()
    )]
    Exists {
        /// The folder.
        folder: PathBuf,
    },
    /// The identity that is there cannot be used.
    #[error("cannot use the key that is there")]
    Earlier(#[source] IdentityError),
    /// The token is for a broker.
    #[error("the token is for a broker; `abide cluster token agent` makes one for an agent")]
    Role,
    /// No broker of the token's cluster was reached at the address.
    #[error("cannot reach a broker of the token's cluster at {address}")]
    Unreachable {
        /// `host:port`.
        address: String,
        /// Why not.
        #[source]
        cause: tonic::transport::Error,
    },
    /// The broker took too long.
    #[error("the broker at {address} did not answer in time")]
    Slow {
        /// `host:port`.
        address: String,
    },
    /// The broker said no.
    #[error("the broker refused: {}", cause.message())]
    Refused {
        /// What it said.
        #[source]
        cause: Box<tonic::Status>,
    },
    /// The broker's answer makes no identity.
    #[error("the broker's answer is not understood")]
    Answer(#[source] IdentityError),
    /// The broker's answer has no root key.
    #[error("the broker's answer has no root key")]
    RootKey(#[source] InvalidKey),
    /// The identity cannot be kept.
    #[error("cannot keep the new identity")]
    Save(#[source] IdentityError),
    /// The brokers' addresses cannot be kept.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

/// What joins.
#[derive(Debug, Clone)]
pub struct Machine<'a> {
    /// The host's name, for people.
    pub name: &'a str,
    /// The DNS names and IP addresses under which browsers will reach the agent.
    pub public_names: Vec<String>,
    /// The identity's folder.
    pub folder: &'a Path,
    /// What becomes of an identity that is there.
    pub earlier: Earlier,
}

/// What becomes of an identity that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// It stays, and nothing is done.
    Refused,
    /// Its cluster is left, with all that was believed of it. The key stays, and with it the agent's id:
    /// the sessions' orders name it.
    Left,
}

/// Makes a key, has it certified by the broker at `address` (`host:port` of its listener for
/// agents), and puts the identity into the machine's folder.
///
/// # Errors
/// [`JoinError`]. Unless the folder could not be written, nothing was changed there; the token can
/// be tried again.
pub async fn join(
    address: &str,
    token: &JoinToken,
    machine: Machine<'_>,
) -> Result<AgentId, JoinError> {
    let Machine { name, public_names, folder, earlier } = machine;
    if token.role != NodeRole::Agent {
        return Err(JoinError::Role);
    }
    let key = match (folder.join("key.pem").exists(), earlier) {
        (false, _) => NodeKey::generate(),
        (true, Earlier::Left) => Identity::load_key(folder).map_err(JoinError::Earlier)?,
        (true, Earlier::Refused) => {
            return Err(JoinError::Exists { folder: folder.to_owned() });
        }
    };
    let request = JoinRequest {
        token_secret: token.secret().to_string(),
        certificate_request: key.request(),
        name: name.to_owned(),
        names: public_names,
    };
    let reply = timeout(WITHIN, ask(address, token, request));
    let reply = reply.await.map_err(|_| JoinError::Slow { address: address.to_owned() })??;
    let root = reply.root_key.parse().map_err(JoinError::RootKey)?;
    let identity =
        Identity::new(key, &reply.certificate, &reply.ca, root).map_err(JoinError::Answer)?;
    let Node::Agent(agent) = identity.peer().node.clone() else {
        return Err(JoinError::Role);
    };
    let brokers = if reply.brokers.is_empty() { vec![address.to_owned()] } else { reply.brokers };
    keep(&identity, &brokers, folder)?;
    Ok(agent)
}

async fn ask(
    address: &str,
    token: &JoinToken,
    request: JoinRequest,
) -> Result<JoinReply, JoinError> {
    let (channel, _) = dial(address, join_client(token))
        .await
        .map_err(|cause| JoinError::Unreachable { address: address.to_owned(), cause })?;
    let reply = BrokerageClient::new(channel).join(request).await;
    reply
        .map(tonic::Response::into_inner)
        .map_err(|cause| JoinError::Refused { cause: cause.into() })
}

/// The brokers first: an identity without them would be one that cannot be used.
fn keep(identity: &Identity, brokers: &[String], folder: &Path) -> Result<(), JoinError> {
    let path = folder.join(BROKERS);
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| {
            std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        })
        .and_then(|()| {
            replace_file(&path, (brokers.join("\n") + "\n").as_bytes(), Access::Everybody)
        });
    written.map_err(|cause| JoinError::Write { path, cause })?;
    identity.save(folder).map_err(JoinError::Save)
}

/// The brokers' addresses from when the agent joined.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn known_brokers(folder: &Path) -> io::Result<Vec<String>> {
    let text = std::fs::read_to_string(folder.join(BROKERS))?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}
