//! The PAM session: account, credentials, session. Never authentication: who the person is, a
//! broker has found out already. So modules that need the password do not get it.

use std::ffi::OsString;

use abide_pam::{Item, NoConversation, PamError, Transaction};

/// An open PAM session. It must be closed by [`PamSession::close`], once none of the person's
/// processes is left.
pub struct PamSession(Transaction<NoConversation>);

impl PamSession {
    /// Opens one.
    ///
    /// # Errors
    /// The first call that did not succeed; what was done before it is undone.
    pub fn open(service: &str, user: &str) -> Result<Self, PamError> {
        let mut pam = Transaction::start(service, user, NoConversation::default())?;
        // Modules want some terminal's name; a display's is not known yet, and sshd gives "ssh".
        pam.set(Item::Tty, "abide")?;
        pam.put_env("XDG_SESSION_TYPE=x11")?;
        pam.put_env("XDG_SESSION_CLASS=user")?;
        pam.check_account()?;
        pam.establish_credentials()?;
        if let Err(error) = pam.open_session() {
            let _ = pam.delete_credentials();
            return Err(error);
        }
        Ok(Self(pam))
    }

    /// The user's name as the modules have settled it.
    ///
    /// # Errors
    /// When there is none.
    pub fn user(&self) -> Result<String, PamError> {
        self.0.user()
    }

    /// What the modules want in the environment.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        self.0.env()
    }

    /// Closes it. Both steps are tried.
    ///
    /// # Errors
    /// The first call that did not succeed.
    pub fn close(mut self) -> Result<(), PamError> {
        let closed = self.0.close_session();
        let deleted = self.0.delete_credentials();
        closed.and(deleted)
    }
}
