//! What root's launcher must know: which agent it serves, and whose orders count.
//!
//! It believes nothing that the agent's user could write, or who broke into the agent could start
//! desktops as anybody. So this lies in a file of root's, apart from the agent's identity.

use std::io;
use std::path::{Path, PathBuf};

use abide_config::{Access, replace_file};
use abide_tls::{Identity, IdentityError};

use crate::settings::{RunAs, Settings};

/// Where the launcher's unit looks.
pub const LAUNCHER_ENV: &str = "/etc/abide/launcher.env";

/// What came of telling the launcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The file is written; a launcher that runs must be started again.
    Written,
    /// Only root may: this is what the file must hold.
    OnlyRootMay(String),
    /// Desktops run as the agent's own user, without a launcher.
    NotNeeded,
}

/// Why the launcher was not told.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    /// The agent's identity.
    #[error("cannot read the agent's identity")]
    Identity(#[from] IdentityError),
    /// The file.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

/// Writes the launcher's file for the identity that the agent has now.
///
/// # Errors
/// [`TellError`]; nothing is changed then.
pub fn tell_launcher(settings: &Settings, file: &Path) -> Result<Told, TellError> {
    if matches!(settings.run_as, RunAs::AgentUser { .. }) {
        return Ok(Told::NotNeeded);
    }
    let identity = Identity::load(&settings.identity_dir)?;
    let text = env(&identity);
    if !rustix::process::geteuid().is_root() {
        return Ok(Told::OnlyRootMay(text));
    }
    replace_file(file, text.as_bytes(), Access::Everybody)
        .map_err(|cause| TellError::Write { path: file.to_owned(), cause })?;
    Ok(Told::Written)
}

/// What the file must hold.
pub(crate) fn env(identity: &Identity) -> String {
    format!(
        "# Written by `abide agent join`: whose orders abide-launcher.service obeys.\n\
         ABIDE_AGENT_ID={}\nABIDE_CLUSTER={}\nABIDE_ROOT_KEY={}\n",
        identity.peer().node.id(),
        identity.cluster(),
        identity.root_key()
    )
}
