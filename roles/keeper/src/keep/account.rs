//! Who the session's processes are.

use std::ffi::CString;
use std::io;
use std::path::PathBuf;

use nix::unistd::{Gid, Uid, User, getgid, getgrouplist, getuid};

/// The person whose session it is, as its processes are to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub user: String,
    /// The home folder.
    pub home: PathBuf,
    /// The login shell.
    pub shell: PathBuf,
    /// The user id they run with.
    pub uid: Uid,
    /// The group id they run with.
    pub gid: Gid,
    /// The user to become; `None` stays who the keeper is.
    pub become_groups: Option<Vec<Gid>>,
}

/// Why there is no such account to run as.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The name service does not know it.
    #[error("there is no user {0} on this host")]
    Unknown(String),
    /// No desktop runs as root.
    #[error("user {0} is root, who gets no desktop")]
    Root(String),
    /// The name service does not work.
    #[error("cannot look up user {user}")]
    Lookup {
        /// Who was looked up.
        user: String,
        /// Why it failed.
        #[source]
        cause: io::Error,
    },
}

impl Account {
    /// The keeper's own account under a person's name.
    pub fn own(user: &str, home: PathBuf) -> Self {
        let bash = PathBuf::from("/bin/bash");
        Self {
            user: user.to_owned(),
            home,
            shell: if bash.exists() { bash } else { "/bin/sh".into() },
            uid: getuid(),
            gid: getgid(),
            become_groups: None,
        }
    }

    /// The account of this name, as the host knows it now. Its groups are still to be asked for:
    /// PAM may have changed what counts.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn of(name: &str) -> Result<Self, AccountError> {
        let lookup =
            |cause: nix::Error| AccountError::Lookup { user: name.to_owned(), cause: cause.into() };
        let user = User::from_name(name)
            .map_err(lookup)?
            .ok_or_else(|| AccountError::Unknown(name.to_owned()))?;
        if user.uid.is_root() {
            return Err(AccountError::Root(name.to_owned()));
        }
        let c_name =
            CString::new(user.name.as_str()).map_err(|_| AccountError::Unknown(name.to_owned()))?;
        let groups = getgrouplist(&c_name, user.gid).map_err(lookup)?;
        Ok(Self {
            user: user.name,
            home: user.dir,
            shell: user.shell,
            uid: user.uid,
            gid: user.gid,
            become_groups: Some(groups),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_nobody_we_know_get_no_desktop() {
        assert!(matches!(Account::of("root"), Err(AccountError::Root(_))));
        let unknown = Account::of("no-such-user-here");
        assert!(matches!(unknown, Err(AccountError::Unknown(_))));
    }
}
