//! Who a node is, as its certificate says it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use abide_model::{AgentId, BrokerId, ClusterId};
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::key::id_of;

/// What a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeRole {
    /// Keeps the table.
    Broker,
    /// Runs desktops.
    Agent,
}

impl NodeRole {
    /// As in URIs and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            NodeRole::Broker => "broker",
            NodeRole::Agent => "agent",
        }
    }
}

impl fmt::Display for NodeRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One broker or agent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Node {
    /// A broker.
    Broker(BrokerId),
    /// An agent.
    Agent(AgentId),
}

impl Node {
    /// The node of this role that has the key with this hash; `None` if that is no id.
    pub(crate) fn new(role: NodeRole, id: &str) -> Option<Self> {
        match role {
            NodeRole::Broker => id.parse().ok().map(Node::Broker),
            NodeRole::Agent => id.parse().ok().map(Node::Agent),
        }
    }

    /// What it is for.
    pub fn role(&self) -> NodeRole {
        match self {
            Node::Broker(_) => NodeRole::Broker,
            Node::Agent(_) => NodeRole::Agent,
        }
    }

    /// Its id as a text.
    pub fn id(&self) -> &str {
        match self {
            Node::Broker(id) => id.as_str(),
            Node::Agent(id) => id.as_str(),
        }
    }
}

/// A node of a cluster. Its text is the URI `abide://<cluster>/<role>/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerIdentity {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Itself.
    pub node: Node,
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "abide://{}/{}/{}", self.cluster, self.node.role(), self.node.id())
    }
}

impl FromStr for PeerIdentity {
    type Err = NotANode;

    fn from_str(text: &str) -> Result<Self, NotANode> {
        let read = || {
            let (cluster, node) = text.strip_prefix("abide://")?.split_once('/')?;
            let (role, id) = node.split_once('/')?;
            let role =
                [NodeRole::Broker, NodeRole::Agent].into_iter().find(|r| r.name() == role)?;
            let cluster = cluster.parse().ok()?;
            Some(PeerIdentity { cluster, node: Node::new(role, id)? })
        };
        // One spelling only, since a UUID has several.
        read().filter(|peer| peer.to_string() == text).ok_or(NotANode::Uri)
    }
}

/// Why a certificate names no node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotANode {
    /// It cannot be read.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// It has not exactly one URI, or that is not a node's.
    #[error("the certificate names no node of a cluster")]
    Uri,
    /// The id in its URI is not that of its key.
    #[error("the certificate's id is not that of its key")]
    ForeignKey,
}

/// The DNS names and IP addresses that a certificate is good for. As true as the certificate.
///
/// # Errors
/// It cannot be read.
pub fn certified_names(certificate: &CertificateDer<'_>) -> Result<Vec<String>, NotANode> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| NotANode::Unreadable)?;
    let names = parsed.subject_alternative_name().map_err(|_| NotANode::Unreadable)?;
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|it| it.to_string()),
        _ => None,
    });
    Ok(names.collect())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4().or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

/// The node that a certificate names. Only as true as the certificate: meant for those that a
/// handshake of this crate's configurations has accepted.
///
/// # Errors
/// [`NotANode`] says why it names none.
pub fn peer_identity(certificate: &CertificateDer<'_>) -> Result<PeerIdentity, NotANode> {
    let (rest, parsed) =
        X509Certificate::from_der(certificate).map_err(|_| NotANode::Unreadable)?;
    if !rest.is_empty() {
        return Err(NotANode::Unreadable);
    }
    let names = parsed.subject_alternative_name().map_err(|_| NotANode::Unreadable)?;
    let mut uris =
        names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
    let (Some(uri), None) = (uris.next(), uris.next()) else {
        return Err(NotANode::Uri);
    };
    let peer: PeerIdentity = uri.parse()?;
    if peer.node.id() == id_of(parsed.public_key().raw) {
        Ok(peer)
    } else {
        Err(NotANode::ForeignKey)
    }
}
