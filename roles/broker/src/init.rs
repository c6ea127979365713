//! Making a new cluster: its CA, its root key, its first broker.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use abide_config::BaseUrl;
use abide_model::{BrokerId, ClusterId};
use abide_tls::{BrokerIdentity, CreateError, Fingerprint};
use uuid::Uuid;

use crate::formation::{Files, Mark};

/// What a new cluster is made from.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Where the first broker's keys and certificates go. Must not hold any yet.
    pub identity_dir: PathBuf,
    /// Where browsers will reach the first broker.
    pub public_url: BaseUrl,
}

/// A new cluster.
#[derive(Debug, Clone)]
pub struct InitReport {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its first broker.
    pub broker: BrokerId,
    /// The CA's certificate, for browsers and people to compare.
    pub ca_fingerprint: Fingerprint,
    /// The CA's certificate in PEM.
    pub ca_pem: String,
}

/// Why no cluster was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The identity.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The mark by which the first start knows that it forms a cluster.
    #[error("cannot write to {}", folder.display())]
    Mark {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
}

/// Makes a cluster. Changes nothing where there is one already.
///
/// # Errors
/// [`InitError`].
pub fn init(options: &InitOptions) -> Result<InitReport, InitError> {
    let cluster = ClusterId(Uuid::new_v4());
    let names = [options.public_url.host()];
    let folder: &Path = &options.identity_dir;
    let broker = BrokerIdentity::create(folder, cluster, &names, SystemTime::now())?;
    let files = Files::new(folder);
    let marked = files.mark(Mark::New);
    marked.map_err(|cause| InitError::Mark { folder: folder.to_owned(), cause })?;
    Ok(InitReport {
        cluster,
        broker: broker.id().clone(),
        ca_fingerprint: broker.authority.fingerprint(),
        ca_pem: broker.authority.ca_pem(),
    })
}
