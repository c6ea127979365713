//! Preparing this machine, whose identity is intact, to make a lost table anew.

use std::io;
use std::path::PathBuf;

use abide_model::BrokerId;
use abide_tls::{BrokerIdentity, IdentityError};

use crate::formation::{Files, Mark};
use crate::settings::Settings;

/// Why nothing was prepared.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// There is no identity to go on with.
    #[error(
        "cannot use the broker's identity; with a recovery bundle `abide broker init --recover` makes \
         one, without `abide broker init --rebuild`"
    )]
    Identity(#[source] IdentityError),
    /// There is a table.
    #[error(
        "{} is not empty: if another broker still has the table, start this one and it catches up; if \
         really all is lost, move the folder away first",
        folder.display()
    )]
    NotEmpty {
        /// The data folder.
        folder: PathBuf,
    },
    /// The folder.
    #[error("cannot use {}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

/// Marks the next start: the broker forms a group alone, and makes the table anew from what the agents
/// report.
///
/// # Errors
/// [`RecoverError`]; nothing was changed then.
pub fn recover(settings: &Settings) -> Result<BrokerId, RecoverError> {
    let identity = BrokerIdentity::load(&settings.identity_dir).map_err(RecoverError::Identity)?;
    let folder = settings.data_dir.clone();
    match std::fs::read_dir(&folder).map(|mut entries| entries.next().is_some()) {
        Ok(true) => return Err(RecoverError::NotEmpty { folder }),
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            return Err(RecoverError::Folder { folder, cause });
        }
        _ => {}
    }
    let folder = settings.identity_dir.clone();
    let marked = Files::new(&folder).mark(Mark::Recover);
    marked.map_err(|cause| RecoverError::Folder { folder, cause })?;
    Ok(identity.id().clone())
}
