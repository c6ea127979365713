//! Making a cluster: its CA, its root key, its first broker; or its first broker anew, when all are lost.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use abide_config::{Access, BaseUrl, replace_file};
use abide_model::{BrokerId, ClusterId};
use abide_tls::{
    Authority, BrokerIdentity, BundleError, CreateError, Fingerprint, open_bundle, seal_bundle,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::formation::{Files, Mark};

/// What a cluster is made from.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Where the first broker's keys and certificates go. Must not hold any yet.
    pub identity_dir: PathBuf,
    /// Where browsers will reach the first broker.
    pub public_url: BaseUrl,
    /// What is made.
    pub founding: Founding,
    /// Where the recovery bundle goes, and its passphrase. Must not exist yet.
    pub bundle: Option<(PathBuf, Zeroizing<String>)>,
}

/// What is made.
#[derive(Debug, Clone)]
pub enum Founding {
    /// A cluster that never was.
    New,
    /// The cluster of a recovery bundle, whose brokers are lost; its table is made anew from what its
    /// agents report.
    Recovered {
        /// The bundle.
        bundle: String,
        /// Its passphrase.
        passphrase: Zeroizing<String>,
    },
    /// A new cluster for the agents of one whose brokers and keys are lost; each has to join it.
    Rebuilt,
}

/// A cluster that was made.
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
    /// The bundle to recover from.
    #[error("cannot recover from the bundle")]
    Bundle(#[from] BundleError),
    /// The new bundle's file is there already.
    #[error("{} exists already, and is not overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or its folder.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

/// Makes a cluster. Changes nothing where there is one already.
///
/// # Errors
/// [`InitError`].
pub fn init(options: &InitOptions) -> Result<InitReport, InitError> {
    let (now, folder): (_, &Path) = (SystemTime::now(), &options.identity_dir);
    let (authority, mark) = match &options.founding {
        Founding::New => (Authority::create(ClusterId(Uuid::new_v4()), now), Mark::New),
        Founding::Rebuilt => (Authority::create(ClusterId(Uuid::new_v4()), now), Mark::Recover),
        Founding::Recovered { bundle, passphrase } => {
            (open_bundle(bundle, passphrase)?, Mark::Recover)
        }
    };
    let bundle = options.bundle.as_ref().map(|(path, passphrase)| {
        let text = Zeroizing::new(seal_bundle(&authority, passphrase));
        (path, text)
    });
    if let Some((path, _)) = &bundle
        && path.exists()
    {
        return Err(InitError::Exists { path: (*path).clone() });
    }
    let broker = BrokerIdentity::found(folder, authority, &[options.public_url.host()], now)?;
    let wrote = |path: &Path, result: io::Result<()>| {
        result.map_err(|cause| InitError::Write { path: path.to_owned(), cause })
    };
    wrote(folder, Files::new(folder).mark(mark))?;
    if let Some((path, text)) = bundle {
        wrote(path, replace_file(path, text.as_bytes(), Access::Owner))?;
    }
    Ok(InitReport {
        cluster: broker.identity.cluster(),
        broker: broker.id().clone(),
        ca_fingerprint: broker.authority.fingerprint(),
        ca_pem: broker.authority.ca_pem(),
    })
}
