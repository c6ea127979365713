//! Standing on a session's line: from the ticket to the person's leaving, through network cuts.
//!
//! ```text
//! ticket ──redeem──► pass ──► line ⇄ viewer ──► the person left | taken over | over
//!                      ▲        │ cut
//!                      └────────┘ by the pass alone; meanwhile a broker is asked what became of it
//! ```
//!
//! A viewer cannot go on over a new line: its decoders hold state that only the old line's display
//! server knew. So each line gets a fresh viewer, or a fresh client on the socket.

mod fate;
mod line;
mod local;
mod notes;
mod relay;
mod viewer;
mod way;

use std::io;
use std::time::Duration;

use abide_api::Time;
use tokio::time::Instant;

use crate::api::{Api, WishKey};
use crate::backoff;
use line::{Final, Line, NoLine};
use relay::RelayEnd;

pub use local::{Local, OneTimePassword, Socket};
pub(crate) use notes::notes;
pub use viewer::{Viewer, find_viewer};
pub use way::{EnterError, Way, enter};

const FIRST_RETRY: Duration = Duration::from_millis(100);
/// An agent daemon that restarts is back within a second or two: so long, tries stay close.
const EAGER_FOR: Duration = Duration::from_secs(5);
const EAGER_MOST: Duration = Duration::from_millis(400);
const MOST: Duration = Duration::from_secs(2);
/// A line that does not last so long was none, and the waits go on growing.
const LASTING: Duration = Duration::from_secs(2);

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The person closed the viewer. The session goes on.
    PersonLeft,
    /// Another viewer took over. The session goes on.
    TakenOver,
    /// The session is over.
    Over {
        /// It ended with its host or keeper, not by anybody's will.
        lost: bool,
        /// Why, as the cluster says it.
        reason: Option<String>,
    },
    /// The pass is no longer good, and no broker gave a new ticket.
    PassRefused,
}

/// What a person may want to know meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The line was cut; it is being sought.
    LineLost,
    /// It is there again.
    LineBack,
    /// No broker hears the agent either.
    Unreachable {
        /// Since when.
        since: Option<Time>,
    },
    /// The brokers hear the agent, this computer does not.
    OnlyHere,
    /// Neither the agent nor a broker answers.
    Nobody,
}

/// Why standing on the line was given up.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The local end.
    #[error("the local connection for the viewer failed")]
    Local(#[source] io::Error),
    /// The viewer went before it came.
    #[error("{program} stopped before it showed anything: {said}")]
    Viewer {
        /// What was started.
        program: String,
        /// The last line it said.
        said: String,
    },
    /// The agent's certificate is not believed.
    #[error("the certificate of the desktop's server is not by a CA that is trusted here")]
    Distrusted(#[source] reqwest::Error),
}

/// One person's stand on one session.
pub struct Attachment<'a> {
    api: &'a Api,
    way: Way,
    tell: &'a (dyn Fn(News) + Sync),
    /// Hears of each way that takes the place of the first.
    renewed: &'a (dyn Fn(&Way) + Sync),
    /// Whether the person waits for the word that there is a line again.
    troubled: bool,
}

impl<'a> Attachment<'a> {
    /// By this way; `tell` hears the news.
    pub fn new(api: &'a Api, way: Way, tell: &'a (dyn Fn(News) + Sync)) -> Self {
        Self { api, way, tell, renewed: &|_| {}, troubled: false }
    }

    /// The same, with somebody who hears of each new way, whose pass replaces the earlier one.
    #[must_use]
    pub fn telling_of_renewals(self, renewed: &'a (dyn Fn(&Way) + Sync)) -> Self {
        Self { renewed, ..self }
    }

    /// Relays between the session and the local end until somebody ends it. A client on a socket
    /// or port may come and go; the viewer's leaving is the person's.
    ///
    /// # Errors
    /// [`AttachError`].
    pub async fn run(mut self, mut local: Local) -> Result<Ending, AttachError> {
        let mut short_lines = 0;
        loop {
            let client = match local.waits_for_its_client() {
                true => Some(local.client().await?),
                false => None,
            };
            let line = match self.line().await? {
                Ok(line) => line,
                Err(ending) => return Ok(ending),
            };
            let client = match client {
                Some(client) => client,
                None => local.client().await?,
            };
            let opened = Instant::now();
            let end = relay::relay(line, client).await;
            local.let_go().await;
            match end {
                RelayEnd::ClientLeft if local.waits_for_its_client() => continue,
                RelayEnd::ClientLeft => return Ok(Ending::PersonLeft),
                RelayEnd::TakenOver => return Ok(Ending::TakenOver),
                // The next try to open the line learns why, and says it.
                RelayEnd::SessionEnded | RelayEnd::PassRefused => {}
                RelayEnd::Cut => {
                    self.troubled = true;
                    (self.tell)(News::LineLost);
                }
            }
            short_lines = if opened.elapsed() < LASTING { short_lines + 1 } else { 0 };
            if short_lines > 1 {
                tokio::time::sleep(backoff::wait(short_lines, FIRST_RETRY, MOST)).await;
            }
            if local.waits_for_its_client() {
                // The next client may be long in coming, the person is not to wait for the news.
                if let Err(ending) = self.line().await? {
                    return Ok(ending);
                }
            }
        }
    }

    /// A line, however long it takes; or the reason that there will be none.
    async fn line(&mut self) -> Result<Result<Line, Ending>, AttachError> {
        let mut renewed = false;
        loop {
            let sought = tokio::select! {
                sought = self.seek() => sought,
                ending = fate::watch(self.api.brokers(), &self.way, self.tell) => return Ok(Err(ending)),
            };
            match sought {
                Ok((line, failures)) => {
                    if self.troubled || failures > 0 {
                        (self.tell)(News::LineBack);
                    }
                    self.troubled = false;
                    return Ok(Ok(line));
                }
                Err(Final::Over { reason }) => {
                    let brokers = self.api.brokers();
                    return Ok(Err(fate::of(brokers, &self.way, reason).await));
                }
                Err(Final::PassRefused) if renewed => return Ok(Err(Ending::PassRefused)),
                Err(Final::PassRefused) => renewed = true,
                Err(Final::Distrusted(cause)) => return Err(AttachError::Distrusted(cause)),
            }
            if let Err(ending) = self.renew().await {
                return Ok(Err(ending));
            }
        }
    }

    /// Tries until there is a line, and how many tries failed, or an answer that more tries do not
    /// change.
    async fn seek(&self) -> Result<(Line, u32), Final> {
        let start = Instant::now();
        for failures in 0.. {
            match line::open(self.api.brokers().http(), &self.way).await {
                Ok(line) => return Ok((line, failures)),
                Err(NoLine::Cut) => {}
                Err(NoLine::Final(answer)) => return Err(answer),
            }
            let most = match start.elapsed() < EAGER_FOR {
                true => EAGER_MOST,
                false => MOST,
            };
            tokio::time::sleep(backoff::wait(failures, FIRST_RETRY, most)).await;
        }
        unreachable!("the tries end by their return")
    }

    /// A new way by a new ticket, in the name of whoever is logged in.
    async fn renew(&mut self) -> Result<(), Ending> {
        let reply = self.api.connect(&self.way.session, &WishKey::random()).await;
        let reply = reply.map_err(|error| match error.kind() {
            Some(abide_api::ProblemKind::SessionEnded) => {
                Ending::Over { lost: false, reason: None }
            }
            _ => Ending::PassRefused,
        })?;
        self.way = enter(self.api, reply).await.map_err(|_| Ending::PassRefused)?;
        (self.renewed)(&self.way);
        Ok(())
    }
}
