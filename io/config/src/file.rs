//! Small files that are replaced as a whole.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use tempfile::Builder;

/// Who may read a file besides its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nobody (0600): keys, password hashes.
    Owner,
    /// Everybody (0644): certificates.
    Everybody,
}

/// Gives the file this content in one step: whoever reads it, also after a power cut, sees the
/// old content or the new one. The folder must exist. A file that was there keeps its owner, and one
/// that root makes belongs to its folder's owner: so root can do what a service must go on reading.
///
/// # Errors
/// Whatever the file system says; the old file is untouched then.
pub fn replace_file(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mode = match access {
        Access::Owner => 0o600,
        Access::Everybody => 0o644,
    };
    let mut file = Builder::new().prefix(".new-").tempfile_in(folder)?;
    file.write_all(content)?;
    // Set after creation, since the umask would take bits away there.
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    let new = file.as_file().metadata()?;
    let owner = match std::fs::metadata(path) {
        Ok(old) => Some(old),
        Err(_) if new.uid() == 0 => Some(std::fs::metadata(folder)?),
        Err(_) => None,
    };
    if let Some(owner) = owner
        && (owner.uid(), owner.gid()) != (new.uid(), new.gid())
    {
        fchown(file.as_file(), Some(owner.uid()), Some(owner.gid()))?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}
