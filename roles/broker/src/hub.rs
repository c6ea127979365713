//! What this broker hears from agents: who is connected, what their ledgers hold, their load.
//!
//! An agent has one link: its own stream, or a line through another broker that hears it. Whichever was
//! made last counts, and all that is said here of a link holds for both.
//!
//! Nothing here is replicated, and nothing here is lost with the broker: each agent tells every broker,
//! all the time.

mod fences;
mod link;
mod relays;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use abide_clock::Sighting;
use abide_model::{AgentId, BrokerId, Fence, SessionId, Table};
use abide_wire::ConvertError;
use abide_wire::agent::{self, BrokerMessage, LedgerRow, agent_message, broker_message};
use tokio::sync::{Notify, mpsc};
use tracing::debug;

use crate::log_outs::LogOuts;
use crate::placing::Told;
pub use fences::Obeyed;
use link::Link;
pub use link::{Commanded, Greeting, Heard, Order, Reported, Unread};
pub use relays::Line;

/// Messages to one agent that may wait. Commands are few and small; an agent that lets this many
/// pile up does not read, and is dropped to come back.
pub const OUTBOX: usize = 1024;

/// All links to agents. Clones share them.
#[derive(Clone, Default)]
pub struct Hub(Arc<Shared>);

#[derive(Default)]
struct Shared {
    links: Mutex<Links>,
    news: Notify,
    /// An agent's own stream has greeted, or ended.
    comings: Notify,
    /// An agent has said whom it obeys.
    fences: Notify,
}

#[derive(Default)]
struct Links {
    next: u64,
    by_agent: HashMap<AgentId, Link>,
    /// Agents that said something the driver has not looked at.
    unread: HashMap<AgentId, Unread>,
    /// When agents whose link is gone were heard last.
    last_heard: HashMap<AgentId, Heard>,
}

/// What is known of an agent here.
pub struct Here {
    /// When it was heard last, if ever.
    pub heard: Option<Instant>,
    /// What it told of its host.
    pub told: Option<Told>,
    /// Whether it obeys a higher claim.
    pub refuses: bool,
}

impl Hub {
    /// Takes in a new stream; what an older link of the same agent still says is ignored.
    /// Gives its number, and what is notified when the link is given up.
    pub fn connect(
        &self,
        agent: &AgentId,
        outbox: mpsc::Sender<BrokerMessage>,
        now: Heard,
    ) -> (u64, Arc<Notify>) {
        self.lock().put(agent, None, outbox, now)
    }

    /// A stream ended.
    pub fn disconnect(&self, agent: &AgentId, number: u64) {
        let mut links = self.lock();
        if links.by_agent.get(agent).is_some_and(|link| link.number == number) {
            links.take(agent);
        }
        drop(links);
        self.0.news.notify_one();
        self.0.comings.notify_one();
    }

    /// The whole greeting is there.
    pub fn greet(
        &self,
        agent: &AgentId,
        number: u64,
        greeting: Greeting,
        rows: HashMap<SessionId, LedgerRow>,
    ) {
        self.with(agent, number, |link, unread| {
            link.greeting = Some(Arc::new(greeting));
            link.rows = rows;
            // Who listens in has heard another greeting.
            link.listeners.clear();
            unread.greeted = true;
        });
        self.0.comings.notify_one();
    }

    /// A greeted agent offers other kinds of desktop from now on.
    ///
    /// # Errors
    /// One of them is none.
    pub fn offer(
        &self,
        agent: &AgentId,
        number: u64,
        offer: agent::Offer,
    ) -> Result<(), ConvertError> {
        let profiles = offer.profiles.iter().cloned().map(TryInto::try_into);
        let profiles = profiles.collect::<Result<Vec<_>, _>>()?;
        self.with(agent, number, |link, unread| {
            link.repeat(|| agent_message::Message::Offer(offer.clone()));
            if let Some(greeting) = &mut link.greeting {
                let greeting = Arc::make_mut(greeting);
                Arc::make_mut(&mut greeting.facts).profiles = profiles;
                // For whoever listens in from now on.
                greeting.hello.profiles = offer.profiles;
                unread.greeted = true;
            }
        });
        Ok(())
    }

    /// One session's row changed.
    pub fn report(&self, agent: &AgentId, number: u64, session: SessionId, row: LedgerRow) {
        self.with(agent, number, |link, unread| {
            link.repeat(|| agent_message::Message::Report(row.clone()));
            link.rows.insert(session, row);
            unread.rows.insert(session);
        });
    }

    /// The agent's load came.
    pub fn load(&self, agent: &AgentId, number: u64, reported: Reported) {
        let mut links = self.lock();
        if let Some(link) = links.by_agent.get_mut(agent).filter(|link| link.number == number) {
            link.repeat(|| agent_message::Message::Load(reported.load.clone()));
            link.load = Some(Arc::new(reported));
        }
    }

    /// The agent said anything at all.
    pub fn heard(&self, agent: &AgentId, number: u64, at: Heard) {
        let mut links = self.lock();
        if let Some(link) = links.by_agent.get_mut(agent).filter(|link| link.number == number) {
            link.heard = link.heard.max(at);
        }
    }

    /// What the agent's clock shows.
    pub fn see_clock(&self, agent: &AgentId, number: u64, seen: Sighting) {
        let mut links = self.lock();
        if let Some(link) = links.by_agent.get_mut(agent).filter(|link| link.number == number) {
            link.clock = Some(seen);
        }
    }

    /// The clocks of all agents that told theirs.
    pub fn clocks(&self) -> Vec<Sighting> {
        self.lock().by_agent.values().filter_map(|link| link.clock).collect()
    }

    /// An agent obeyed a command, or did not; gives back which it was. The answer to another broker's
    /// command goes there.
    pub fn answered(
        &self,
        agent: &AgentId,
        number: u64,
        answer: &agent::Answer,
    ) -> Option<Commanded> {
        let mut links = self.lock();
        let link = links.by_agent.get_mut(agent).filter(|link| link.number == number)?;
        match link.commanded.remove(&answer.command)? {
            Commanded::ForListener { listener, id } => {
                let answer = agent::Answer { command: id, ..answer.clone() };
                link.tell(listener, agent_message::Message::Answer(answer));
                None
            }
            own => Some(own),
        }
    }

    /// A command was refused: it may be given again.
    pub fn retry(&self, agent: &AgentId, number: u64, command: (SessionId, Order)) {
        self.with(agent, number, |link, unread| {
            link.pending.remove(&command);
            unread.rows.insert(command.0);
        });
    }

    /// Waits until there may be something to look at.
    pub async fn news(&self) {
        self.0.news.notified().await;
    }

    /// Takes what was not looked at yet.
    pub fn take_unread(&self) -> HashMap<AgentId, Unread> {
        std::mem::take(&mut self.lock().unread)
    }

    /// Everything is to be looked at: this broker leads anew.
    pub fn mark_all_unread(&self) {
        let mut links = self.lock();
        let greeted: Vec<_> = links
            .by_agent
            .iter_mut()
            .filter(|(_, link)| link.greeting.is_some())
            .map(|(agent, link)| {
                link.pending.clear();
                link.told_log_outs = LogOuts::default();
                agent.clone()
            })
            .collect();
        for agent in greeted {
            links.unread.entry(agent).or_default().greeted = true;
        }
        drop(links);
        self.0.news.notify_one();
    }

    /// Looks again at one session.
    pub fn mark_unread(&self, agent: &AgentId, session: SessionId) {
        self.lock().unread.entry(agent.clone()).or_default().rows.insert(session);
        self.0.news.notify_one();
    }

    /// What a greeted agent said of itself.
    pub fn greeting(&self, agent: &AgentId) -> Option<Arc<Greeting>> {
        self.lock().by_agent.get(agent)?.greeting.clone()
    }

    /// One row of a greeted agent's ledger.
    pub fn row(&self, agent: &AgentId, session: SessionId) -> Option<LedgerRow> {
        self.lock().by_agent.get(agent)?.rows.get(&session).cloned()
    }

    /// What a greeted agent said of itself, and all rows of its ledger, of one and the same moment.
    pub fn ledger(
        &self,
        agent: &AgentId,
    ) -> Option<(Arc<Greeting>, HashMap<SessionId, LedgerRow>)> {
        let links = self.lock();
        let link = links.by_agent.get(agent)?;
        Some((link.greeting.clone()?, link.rows.clone()))
    }

    /// Whether this was commanded on the agent's link already.
    pub fn is_pending(&self, agent: &AgentId, session: SessionId, order: Order) -> bool {
        let links = self.lock();
        links.by_agent.get(agent).is_some_and(|link| link.pending.contains(&(session, order)))
    }

    /// Looks again at all that one agent has.
    pub fn mark_agent_unread(&self, agent: &AgentId) {
        self.lock().unread.entry(agent.clone()).or_default().greeted = true;
        self.0.news.notify_one();
    }

    /// What greeted agents list of sessions that `is_known` does not know.
    pub fn rows_beyond(
        &self,
        is_known: impl Fn(SessionId) -> bool,
    ) -> Vec<(AgentId, SessionId, LedgerRow)> {
        let links = self.lock();
        let all = links.by_agent.iter().flat_map(|(agent, link)| {
            link.rows.iter().map(move |(session, row)| (agent, *session, row))
        });
        all.filter(|(_, session, _)| !is_known(*session))
            .map(|(agent, session, row)| (agent.clone(), session, row.clone()))
            .collect()
    }

    /// When an agent was heard last, if ever by this broker. A stream that has not greeted says nothing.
    pub fn last_heard(&self, agent: &AgentId) -> Option<Heard> {
        let links = self.lock();
        let greeted = links.by_agent.get(agent).filter(|link| link.greeting.is_some());
        let now = greeted.map(|link| link.heard);
        now.or_else(|| links.last_heard.get(agent).copied())
    }

    /// What is known here of each of these agents. `fence` is what they would be commanded with.
    pub fn signs(&self, agents: &[&AgentId], fence: Option<Fence>) -> Vec<Here> {
        let links = self.lock();
        let sign = |agent: &&AgentId| match links.by_agent.get(*agent) {
            // A stream that has not greeted says nothing.
            Some(link) if link.greeting.is_some() => Here {
                heard: Some(link.heard.instant),
                told: link.load.as_deref().map(Reported::told),
                refuses: fence.is_some_and(|fence| link.refuses(fence)),
            },
            _ => {
                let heard = links.last_heard.get(*agent).map(|heard| heard.instant);
                Here { heard, told: None, refuses: false }
            }
        };
        agents.iter().map(sign).collect()
    }

    /// An agent's newest load.
    pub fn load_of(&self, agent: &AgentId) -> Option<Arc<Reported>> {
        self.lock().by_agent.get(agent)?.load.clone()
    }

    /// How many look at which session, as far as anybody does.
    pub fn viewers(&self) -> HashMap<SessionId, u32> {
        let links = self.lock();
        let loads = links.by_agent.values().filter_map(|link| link.load.as_ref());
        loads.flat_map(|it| &it.viewers).map(|(session, count)| (*session, *count)).collect()
    }

    /// Commands a greeted agent about a session, once a link.
    pub fn command(
        &self,
        agent: &AgentId,
        session: SessionId,
        order: Order,
        fence: Fence,
        command: agent::command::Command,
    ) {
        let mut links = self.lock();
        let Some(link) = links.by_agent.get_mut(agent).filter(|link| link.greeting.is_some())
        else {
            return;
        };
        if !link.pending.insert((session, order)) {
            return;
        }
        if order == Order::Forget {
            link.rows.remove(&session);
        }
        let id = link.number_command(Commanded::Order(session, order));
        let command = agent::Command { id, fence: Some(fence.into()), command: Some(command) };
        debug!(%agent, %session, ?order, "Commanding an agent");
        send(&mut links, agent, broker_message::Message::Command(command));
    }

    /// Tells greeted agents who was logged out everywhere: all of them, or one; each once a link.
    pub fn log_out(&self, only: Option<&AgentId>, fence: Fence, table: &Table) {
        let mut links = self.lock();
        let chosen = links.by_agent.keys().filter(|it| only.is_none_or(|only| only == *it));
        let chosen: Vec<_> = chosen.cloned().collect();
        for agent in chosen {
            let greeted = links.by_agent.get_mut(&agent).filter(|link| link.greeting.is_some());
            let Some(link) = greeted else { continue };
            let mut commands = Vec::new();
            for revoke in link.told_log_outs.news(table) {
                let id = link.number_command(Commanded::LogOuts);
                let command = Some(agent::command::Command::RevokePasses(revoke));
                commands.push(agent::Command { id, fence: Some(fence.into()), command });
            }
            for command in commands {
                send(&mut links, &agent, broker_message::Message::Command(command));
            }
        }
    }

    /// A log-out was refused: all of them are told again.
    pub fn retry_log_outs(&self, agent: &AgentId, number: u64) {
        self.with(agent, number, |link, unread| {
            link.told_log_outs = LogOuts::default();
            unread.greeted = true;
        });
    }

    /// Tells every agent.
    pub fn tell_all(&self, message: &broker_message::Message) {
        let mut links = self.lock();
        let agents: Vec<_> = links.by_agent.keys().cloned().collect();
        for agent in agents {
            send(&mut links, &agent, message.clone());
        }
    }

    fn with(&self, agent: &AgentId, number: u64, change: impl FnOnce(&mut Link, &mut Unread)) {
        let mut links = self.lock();
        let Links { by_agent, unread, .. } = &mut *links;
        if let Some(link) = by_agent.get_mut(agent).filter(|link| link.number == number) {
            change(link, unread.entry(agent.clone()).or_default());
        }
        drop(links);
        self.0.news.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Links> {
        // Nothing that holds the lock can leave the links half changed.
        self.0.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Links {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn put(
        &mut self,
        agent: &AgentId,
        via: Option<BrokerId>,
        outbox: mpsc::Sender<BrokerMessage>,
        heard: Heard,
    ) -> (u64, Arc<Notify>) {
        let number = self.number();
        let link = Link::new(number, via, outbox, heard);
        let dropped = Arc::clone(&link.dropped);
        self.take(agent);
        self.by_agent.insert(agent.clone(), link);
        (number, dropped)
    }

    /// Gives a link up: its stream is closed, and its agent comes anew.
    fn take(&mut self, agent: &AgentId) {
        let Some(link) = self.by_agent.remove(agent) else { return };
        link.dropped.notify_one();
        // Whoever never greeted was not heard.
        if link.greeting.is_some() {
            self.last_heard.insert(agent.clone(), link.heard);
        }
    }
}

/// Sends, or drops a link whose agent does not read.
fn send(links: &mut Links, agent: &AgentId, message: broker_message::Message) {
    let Some(link) = links.by_agent.get(agent) else { return };
    if link.outbox.try_send(BrokerMessage { message: Some(message) }).is_err() {
        links.take(agent);
    }
}
