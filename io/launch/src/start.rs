//! Starting a keeper, as the agent's own child or through the launcher.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use abide_wire::keeper::{
    KeeperReply, KeeperSpec, KeeperStatus, LaunchRequest, LauncherRequest, keeper_reply::Reply,
    launcher_request::Request,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::stream::{Inbox, send};

/// How long a start may take. A PAM module may wait for a home on another host that does not
/// answer; the display server alone may take 30 s.
const START_LIMIT: Duration = Duration::from_secs(90);

/// Who starts keepers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launcher {
    /// The agent itself: all sessions run as its own user.
    Direct {
        /// The `abide-keeper` program.
        keeper: PathBuf,
    },
    /// The root helper.
    Socket {
        /// Where it listens.
        path: PathBuf,
    },
}

/// Why no keeper answered that it keeps the session.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It was tried, and undone.
    #[error("{stage}: {detail}")]
    Failed {
        /// What was being done, for a person.
        stage: String,
        /// What went wrong.
        detail: String,
    },
    /// The keeper's program cannot be run.
    #[error("cannot run {program}")]
    Run {
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The launcher cannot be reached.
    #[error("cannot reach the launcher at {path}")]
    Launcher {
        /// Its socket.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The conversation broke. The session may have been started: look into its folder.
    #[error("the answer to a start was lost")]
    Lost(#[source] io::Error),
    /// No answer in time. The session may still be started: look into its folder.
    #[error("no answer to a start within {} s", START_LIMIT.as_secs())]
    Slow,
}

impl Launcher {
    /// Starts a session and waits until its display accepts. `order` and `certificates` are what
    /// the launcher checks; a direct start does not need them.
    ///
    /// Dropping the future leaves the keeper alone: it keeps the session, which is then found in
    /// its folder.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        &self,
        order: &str,
        certificates: &[String],
        spec: KeeperSpec,
    ) -> Result<KeeperStatus, StartError> {
        let reply = async {
            match self {
                Launcher::Direct { keeper } => start_direct(keeper, &spec).await,
                Launcher::Socket { path } => {
                    let stream = UnixStream::connect(path).await;
                    let stream = stream
                        .map_err(|cause| StartError::Launcher { path: path.clone(), cause })?;
                    let request = Request::Launch(LaunchRequest {
                        start_order: order.to_owned(),
                        spec: Some(spec),
                        key_certificates: certificates.to_vec(),
                    });
                    let request = LauncherRequest { request: Some(request) };
                    let (mut from, mut to) = stream.into_split();
                    converse(&mut to, &mut from, &request).await
                }
            }
        };
        let reply = timeout(START_LIMIT, reply).await.map_err(|_| StartError::Slow)??;
        match reply.reply {
            Some(Reply::Started(status)) => Ok(status),
            Some(Reply::Failed(failed)) => {
                Err(StartError::Failed { stage: failed.stage, detail: failed.detail })
            }
            None => Err(StartError::Lost(io::ErrorKind::InvalidData.into())),
        }
    }
}

async fn start_direct(keeper: &PathBuf, spec: &KeeperSpec) -> Result<KeeperReply, StartError> {
    let spawned =
        Command::new(keeper).arg("keep").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|cause| StartError::Run { program: keeper.clone(), cause })?;
    let (to, from) = (child.stdin.take(), child.stdout.take());
    // Reaps it, whenever that is. Not aborted: it only waits.
    tokio::spawn(async move { child.wait().await });
    let (Some(mut to), Some(mut from)) = (to, from) else {
        return Err(StartError::Lost(io::ErrorKind::BrokenPipe.into()));
    };
    converse(&mut to, &mut from, spec).await
}

async fn converse(
    to: &mut (impl AsyncWrite + Unpin),
    from: &mut (impl AsyncRead + Unpin),
    request: &impl prost::Message,
) -> Result<KeeperReply, StartError> {
    send(to, request).await.map_err(StartError::Lost)?;
    let reply = Inbox::default().next(from).await;
    reply
        .map_err(StartError::Lost)?
        .ok_or_else(|| StartError::Lost(io::ErrorKind::UnexpectedEof.into()))
}
