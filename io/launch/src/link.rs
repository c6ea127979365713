//! The connection to one living keeper.

use std::io;
use std::path::Path;
use std::time::Duration;

use abide_desktop::{Found, SessionFolder};
use abide_wire::keeper::{
    ControlEvent, ControlRequest, EndSession, KeeperStatus, SessionEnded, control_event::Event,
    control_request::Request,
};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use crate::stream::{Inbox, send};

/// How long a keeper that is still starting may take until it can be reached.
const CONNECT_LIMIT: Duration = Duration::from_secs(90);

/// How long a keeper that can be reached may take to say how it is: longer only if it is ending the
/// session just now, which it does not interrupt.
const GREETING_LIMIT: Duration = Duration::from_secs(30);

/// How often to look whether a starting keeper can be reached.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What the agent hears from a keeper.
#[derive(Debug, Clone, PartialEq)]
pub enum KeeperEvent {
    /// The session is over.
    Ended(SessionEnded),
    /// The keeper is gone and has not said how it ended: it was killed.
    Gone,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Nobody is there any more. `Some` says how it ended.
    #[error("the session has no keeper any more")]
    NoKeeper(Option<SessionEnded>),
    /// The folder or the socket does not work.
    #[error("cannot reach the keeper")]
    Io(#[source] io::Error),
    /// It lives, but does not answer.
    #[error("the keeper does not answer")]
    Silent,
}

/// A connection to one keeper.
#[derive(Debug)]
pub struct KeeperLink {
    folder: SessionFolder,
    stream: UnixStream,
    inbox: Inbox,
}

impl KeeperLink {
    /// Connects to the keeper of a session's folder. One that is still starting is waited for.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn connect(folder: &Path) -> Result<(KeeperStatus, Self), LinkError> {
        let folder = SessionFolder::new(folder);
        let stream = reach(&folder).await?;
        let mut link = Self { folder, stream, inbox: Inbox::default() };
        let greeting = timeout(GREETING_LIMIT, link.receive()).await;
        match greeting.map_err(|_| LinkError::Silent)? {
            Ok(Some(Event::Status(status))) => Ok((status, link)),
            Ok(Some(Event::Ended(ended))) => Err(LinkError::NoKeeper(Some(ended))),
            Ok(None) => Err(link.no_keeper()),
            Err(error) => Err(LinkError::Io(error)),
        }
    }

    /// Waits for the session's end. Dropping the future loses nothing.
    pub async fn next(&mut self) -> KeeperEvent {
        loop {
            match self.receive().await {
                Ok(Some(Event::Ended(ended))) => return KeeperEvent::Ended(ended),
                // Nothing that a keeper says only once.
                Ok(Some(Event::Status(_))) => {}
                Ok(None) | Err(_) => break,
            }
        }
        // Closing comes a moment before the keeper lets go of its lock. What it wrote counts even
        // if it could not be said.
        match self.folder.read_ended() {
            Ok(Some(ended)) => KeeperEvent::Ended(ended),
            _ => KeeperEvent::Gone,
        }
    }

    /// Asks for the end. The answer is [`KeeperEvent::Ended`], when nothing is left.
    ///
    /// # Errors
    /// Those of writing: as a rule that the keeper is gone, which [`KeeperLink::next`] says too.
    pub async fn end(&mut self, reason: &str) -> io::Result<()> {
        let reason = reason.chars().take(1000).collect();
        let request = Request::End(EndSession { reason });
        let request = ControlRequest { request: Some(request) };
        send(&mut self.stream, &request).await
    }

    async fn receive(&mut self) -> io::Result<Option<Event>> {
        loop {
            let next: Option<ControlEvent> = self.inbox.next(&mut self.stream).await?;
            match next {
                None => return Ok(None),
                Some(ControlEvent { event: Some(event) }) => return Ok(Some(event)),
                // A newer keeper's news that this agent does not know.
                Some(ControlEvent { event: None }) => {}
            }
        }
    }

    fn no_keeper(&self) -> LinkError {
        match self.folder.read_ended() {
            Ok(ended) => LinkError::NoKeeper(ended),
            Err(error) => LinkError::Io(error),
        }
    }
}

async fn reach(folder: &SessionFolder) -> Result<UnixStream, LinkError> {
    let until = Instant::now() + CONNECT_LIMIT;
    loop {
        // In this order: a keeper that is gone after the look cannot be connected to.
        let found = folder.look().map_err(LinkError::Io)?;
        match UnixStream::connect(folder.control()).await {
            Ok(stream) => return Ok(stream),
            Err(error) => match found {
                Found::Gone { ended } => return Err(LinkError::NoKeeper(ended)),
                Found::Missing => return Err(LinkError::NoKeeper(None)),
                Found::Alive if Instant::now() >= until => return Err(LinkError::Io(error)),
                Found::Alive => sleep(LOOK_AGAIN).await,
            },
        }
    }
}
