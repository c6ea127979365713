//! The PAM session: account, credentials, session. Never authentication: who the person is, a
//! broker has found out already. So modules that need the password do not get it.

use std::ffi::OsString;

use abide_pam::{Item, NoConversation, PamError, Transaction};

/// PAM gives no session.
#[derive(Debug, thiserror::Error)]
#[error("PAM gives no session{}", and_says(told))]
pub struct NoSession {
    /// What the modules said to the person, who hears it here alone.
    told: Vec<String>,
    #[source]
    cause: PamError,
}

impl From<PamError> for NoSession {
    fn from(cause: PamError) -> Self {
        Self { told: Vec::new(), cause }
    }
}

/// An open PAM session. It must be closed by [`PamSession::close`], once none of the person's
/// processes is left.
pub struct PamSession(Transaction<NoConversation>);

impl PamSession {
    /// Opens one.
    ///
    /// # Errors
    /// The first call that did not succeed; what was done before it is undone.
    pub fn open(service: &str, user: &str) -> Result<Self, NoSession> {
        let mut pam = Transaction::start(service, user, NoConversation::default())?;
        match begin(&mut pam) {
            Ok(()) => Ok(Self(pam)),
            Err(cause) => {
                let told = std::mem::take(&mut pam.conversation().told);
                Err(NoSession { told, cause })
            }
        }
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

fn begin(pam: &mut Transaction<NoConversation>) -> Result<(), PamError> {
    // Modules want some terminal's name; a display's is not known yet, and sshd gives "ssh".
    pam.set(Item::Tty, "abide")?;
    pam.put_env("XDG_SESSION_TYPE=x11")?;
    pam.put_env("XDG_SESSION_CLASS=user")?;
    pam.check_account()?;
    pam.establish_credentials()?;
    let opened = pam.open_session();
    if opened.is_err() {
        let _ = pam.delete_credentials();
    }
    opened
}

fn and_says(told: &[String]) -> String {
    match told {
        [] => String::new(),
        told => format!(" and says \"{}\"", told.join(" ").trim()),
    }
}
