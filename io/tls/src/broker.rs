//! What a broker has besides a node's identity: the cluster's authority (`ca-key.pem`,
//! `root.key`) and a signing key of its own (`signing.key`), all 0600 in the same folder.

use std::path::Path;
use std::time::SystemTime;

use abide_config::Access;
use abide_model::{BrokerId, ClusterId};
use abide_ticket::SigningKey;
use zeroize::Zeroizing;

use crate::authority::{Authority, IssueError, fresh_seed};
use crate::identity::{self, Identity, IdentityError, make_folder, read_private, write};
use crate::key::NodeKey;
use crate::node::{Node, NodeRole};

const CA_KEY: &str = "ca-key.pem";
const ROOT_KEY: &str = "root.key";
const SIGNING_KEY: &str = "signing.key";

/// A broker's whole identity.
#[derive(Debug)]
pub struct BrokerIdentity {
    /// As every node has it.
    pub identity: Identity,
    /// The cluster's.
    pub authority: Authority,
    /// For tokens, tickets and start orders.
    pub signing: SigningKey,
}

/// What a new broker made, and what it was given.
#[derive(Debug)]
pub struct JoinAnswer<'a> {
    /// What it asked with.
    pub key: NodeKey,
    /// Of its own signing key.
    pub signing_seed: &'a [u8; 32],
    /// PEM.
    pub certificate: &'a str,
    /// The CA's certificate, PEM.
    pub ca: &'a str,
    /// The CA's key, PEM.
    pub ca_key: &'a str,
    /// The root key's, hex.
    pub root_seed: &'a str,
}

/// Why there is no new certificate for a broker, or no new cluster.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The folder.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The broker's certificate.
    #[error("cannot certify the broker")]
    Issue(#[from] IssueError),
}

impl BrokerIdentity {
    /// Makes a new cluster with its first broker. `names` are the DNS names and IP addresses
    /// under which browsers reach it.
    ///
    /// # Errors
    /// [`CreateError`]: the folder holds an identity already or cannot be written, or a name is
    /// none.
    pub fn create(
        folder: &Path,
        cluster: ClusterId,
        names: &[String],
        now: SystemTime,
    ) -> Result<Self, CreateError> {
        Self::found(folder, Authority::create(cluster, now), names, now)
    }

    /// The same for a cluster whose authority there is already: its brokers are lost.
    ///
    /// # Errors
    /// As for [`BrokerIdentity::create`].
    pub fn found(
        folder: &Path,
        authority: Authority,
        names: &[String],
        now: SystemTime,
    ) -> Result<Self, CreateError> {
        if folder.join(identity::KEY).exists() {
            return Err(IdentityError::Exists { folder: folder.to_owned() }.into());
        }
        let key = NodeKey::generate();
        let issued = authority.issue(&key.request(), NodeRole::Broker, names, now)?;
        let identity = Identity::new(key, &issued.pem, &authority.ca_pem(), authority.root_key())?;
        let seed = fresh_seed();
        let broker = Self { identity, authority, signing: SigningKey::from_seed(&seed) };
        broker.save(folder, &seed)?;
        Ok(broker)
    }

    /// The signing key that a broker makes for itself before it joins.
    ///
    /// # Panics
    /// When the system has no random numbers to give.
    pub fn new_signing_seed() -> Zeroizing<[u8; 32]> {
        fresh_seed()
    }

    /// Makes a broker of what a join's answer gave, and writes it. `key` is what the machine asked
    /// with, `signing_seed` its own.
    ///
    /// # Errors
    /// [`IdentityError`]: the parts do not belong together, the folder holds an identity already or
    /// cannot be written. Nothing that loads was written then.
    pub fn join(folder: &Path, answer: JoinAnswer<'_>) -> Result<Self, IdentityError> {
        if folder.join(identity::KEY).exists() {
            return Err(IdentityError::Exists { folder: folder.to_owned() });
        }
        let JoinAnswer { key, signing_seed, certificate, ca, ca_key, root_seed } = answer;
        let ca_key = NodeKey::from_pem(ca_key).map_err(IdentityError::Key)?;
        let seed = seed_from(root_seed, Path::new(ROOT_KEY))?;
        let root = SigningKey::from_seed(&seed).verifying_key();
        let identity = Identity::new(key, certificate, ca, root)?;
        if !matches!(identity.peer().node, Node::Broker(_)) {
            return Err(IdentityError::Mismatch);
        }
        let authority =
            Authority::from_parts(identity.cluster(), ca_key, identity.ca().clone(), seed);
        let signing = SigningKey::from_seed(signing_seed);
        let broker = Self { identity, authority, signing };
        broker.save(folder, signing_seed)?;
        Ok(broker)
    }

    /// The broker's identity in this folder.
    ///
    /// # Errors
    /// [`IdentityError`] when a file is missing, exposed, or does not fit the others.
    pub fn load(folder: &Path) -> Result<Self, IdentityError> {
        let identity = Identity::load(folder)?;
        let path = folder.join(CA_KEY);
        let ca_key = NodeKey::from_pem(&read_private(&path)?).map_err(IdentityError::Key)?;
        let root_seed = read_seed(&folder.join(ROOT_KEY))?;
        let signing = SigningKey::from_seed(&*read_seed(&folder.join(SIGNING_KEY))?);
        let authority =
            Authority::from_parts(identity.cluster(), ca_key, identity.ca().clone(), root_seed);
        if authority.root_key() != identity.root_key() {
            return Err(IdentityError::Mismatch);
        }
        Ok(Self { identity, authority, signing })
    }

    /// The broker's id.
    pub fn id(&self) -> &BrokerId {
        match &self.identity.peer().node {
            Node::Broker(id) => id,
            Node::Agent(_) => unreachable!("a broker's identity is only made for brokers"),
        }
    }

    /// The node's key goes last: while it is missing, the folder holds no identity.
    fn save(&self, folder: &Path, signing_seed: &[u8; 32]) -> Result<(), IdentityError> {
        make_folder(folder)?;
        let ca_key = self.authority.key().to_pem();
        write(&folder.join(CA_KEY), ca_key.as_bytes(), Access::Owner)?;
        write_seed(&folder.join(ROOT_KEY), self.authority.root_seed())?;
        write_seed(&folder.join(SIGNING_KEY), signing_seed)?;
        self.identity.save(folder)
    }
}

impl Authority {
    /// Gives this cluster's broker a new certificate for the same key and names, and puts it into its
    /// folder.
    ///
    /// # Errors
    /// [`CreateError`]: the folder cannot be written, or the identity is not a broker of this cluster.
    /// Nothing was changed.
    pub fn renew(
        &self,
        broker: &Identity,
        folder: &Path,
        now: SystemTime,
    ) -> Result<(), CreateError> {
        let issued = self.issue(&broker.request(), NodeRole::Broker, &broker.names(), now)?;
        Ok(broker.renew(folder, &issued.pem)?)
    }
}

fn write_seed(path: &Path, seed: &[u8; 32]) -> Result<(), IdentityError> {
    let text = Zeroizing::new(hex::encode(seed) + "\n");
    write(path, text.as_bytes(), Access::Owner)
}

fn read_seed(path: &Path) -> Result<Zeroizing<[u8; 32]>, IdentityError> {
    seed_from(&read_private(path)?, path)
}

fn seed_from(text: &str, path: &Path) -> Result<Zeroizing<[u8; 32]>, IdentityError> {
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), &mut seed[..]).map_err(|_| IdentityError::Content {
        path: path.to_owned(),
        what: "a private key in hex",
    })?;
    Ok(seed)
}
