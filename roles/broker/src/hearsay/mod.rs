//! Agents that the leader does not hear itself: who does, and speaking with them through that broker.
//!
//! ```text
//!          leader ◀─── whom I hear, once a second ─── follower
//!            │                                           │
//!            └──── commands ▶ ──── Relay ──── ◀ what it says ──── its stream ──── agent
//! ```
//! An agent is reachable while any broker hears it. When the leader's link to it has been quiet, and another
//! broker has heard it since, the leader opens a line through that one, and puts it where the agent's own
//! stream was: hub and driver know no difference. The agent's next stream takes the place of the line.
//!
//! All of it works from levels. Hearsay is in memory alone and grows old by itself; a line that breaks or
//! falls silent is replaced as a stream is. The fence of every command is the leader's, and the agent
//! judges by that, not by who brings it.

mod book;
mod lines;
mod relay;
mod tell;

pub use lines::keep_lines;
pub use relay::{RelayStream, relay};
pub use tell::tell;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use abide_model::{AgentId, BrokerId};
use abide_wire::peer::HearsayRequest;
use tokio::sync::Notify;

use crate::broker::Broker;
use crate::hub::{Heard, Here};
use crate::placing::Sign;
use crate::timing::{self, Silences};
use book::Book;

/// What other brokers say of whom they hear. Kept by all, used by the leader, so that a new one knows it.
#[derive(Debug)]
pub struct Hearsay {
    book: Mutex<Book>,
    news: Notify,
}

impl Hearsay {
    /// Nobody has said anything.
    pub fn new(silences: Silences) -> Self {
        Self { book: Mutex::new(Book::new(silences)), news: Notify::new() }
    }

    /// Another broker says whom it hears: all of them.
    ///
    /// # Errors
    /// An id is none; nothing of it was taken.
    pub fn take(&self, from: BrokerId, said: HearsayRequest) -> Result<(), abide_model::InvalidId> {
        let agent = |heard: abide_wire::peer::Heard| {
            let ago = Duration::from_millis(heard.ago_ms.into());
            Ok((heard.agent.parse::<AgentId>()?, ago))
        };
        let agents = said.agents.into_iter().map(agent).collect::<Result<Vec<_>, _>>()?;
        self.book().take(from, agents, Instant::now());
        self.news.notify_one();
        Ok(())
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // What one broker says is replaced as a whole.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether each of these agents was heard lately, and what it told of its host, as far as this broker knows.
/// One that refuses what this broker commands, as the leader, might as well not be heard.
pub fn signs(broker: &Broker, agents: &[&AgentId]) -> Vec<Sign> {
    let most = timing::silences(broker.settings.timing).quiet;
    let now = broker.clock.heard().instant;
    let here = broker.hub.signs(agents, broker.fence());
    let book = broker.hearsay.book();
    let sign = |(agent, here): (&&AgentId, Here)| {
        let last = here.heard.max(book.last_heard(agent));
        let is_heard = last.is_some_and(|at| now.saturating_duration_since(at) <= most);
        Sign { is_heard: is_heard && !here.refuses, told: here.told }
    };
    agents.iter().zip(here).map(sign).collect()
}

/// When any broker heard an agent last, as far as this one knows.
pub fn last_heard(broker: &Broker, agent: &AgentId) -> Option<Heard> {
    let now = broker.clock.heard();
    let elsewhere = broker.hearsay.book().last_heard(agent);
    let elsewhere = elsewhere.map(|at| now.before(now.instant.duration_since(at)));
    let here = broker.hub.last_heard(agent);
    match (here, elsewhere) {
        (Some(here), Some(elsewhere)) => Some(here.max(elsewhere)),
        (one, other) => one.or(other),
    }
}
