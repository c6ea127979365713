//! Removing what a session left.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use abide_desktop::SessionFolder;
use abide_model::SessionId;
use abide_wire::keeper::{
    CleanUpReply, CleanUpRequest, LauncherRequest, launcher_request::Request,
};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::start::Launcher;
use crate::stream::{Inbox, send};

/// How long the launcher may take: longer than killing does.
const CLEAN_UP_LIMIT: Duration = Duration::from_secs(30);

/// Tries until the error is handed on: a process may take a moment to die.
const TRIES: u32 = 3;

/// Why something may be left of a session. Trying again later is right for all of them.
#[derive(Debug, thiserror::Error)]
pub enum CleanUpError {
    /// Its keeper lives: end the session instead.
    #[error("the session's keeper lives")]
    Alive,
    /// Some of it could not be removed.
    #[error("{0}")]
    Remains(String),
    /// The launcher, which must do it, cannot be reached.
    #[error("cannot reach the launcher at {path}")]
    Launcher {
        /// Its socket.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

impl Launcher {
    /// Ends what is left of a session whose keeper is gone and removes all its traces, the folder
    /// last. Also when nothing is left.
    ///
    /// # Errors
    /// See [`CleanUpError`].
    pub async fn clean_up(&self, folder: &Path, session: SessionId) -> Result<(), CleanUpError> {
        match self {
            Launcher::Direct { .. } => clean_up(folder, session).await,
            Launcher::Socket { path } => ask(path, session).await,
        }
    }
}

/// The same for sessions that ran as this process's own user.
///
/// # Errors
/// See [`CleanUpError`].
pub async fn clean_up(folder: &Path, session: SessionId) -> Result<(), CleanUpError> {
    let folder = SessionFolder::new(folder);
    let work = move || {
        let id = session.to_string();
        let mut tried = 1;
        loop {
            match abide_desktop::clean_up(&folder, &id) {
                Ok(()) => return Ok(()),
                Err(abide_desktop::CleanUpError::Alive) => return Err(CleanUpError::Alive),
                Err(error) if tried == TRIES => {
                    return Err(CleanUpError::Remains(error.to_string()));
                }
                Err(_) => tried += 1,
            }
        }
    };
    // It waits for processes to die, so not on a thread that others need.
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(CleanUpError::Remains(error.to_string())))
}

async fn ask(path: &Path, session: SessionId) -> Result<(), CleanUpError> {
    let request = Request::CleanUp(CleanUpRequest { session: session.to_string() });
    let request = LauncherRequest { request: Some(request) };
    let conversation = async {
        let mut stream = UnixStream::connect(path).await?;
        send(&mut stream, &request).await?;
        let reply: Option<CleanUpReply> = Inbox::default().next(&mut stream).await?;
        reply.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    };
    let reply = timeout(CLEAN_UP_LIMIT, conversation)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    match reply {
        Ok(reply) if reply.remains.is_empty() => Ok(()),
        Ok(reply) => Err(CleanUpError::Remains(reply.remains)),
        Err(cause) => Err(CleanUpError::Launcher { path: path.to_owned(), cause }),
    }
}
