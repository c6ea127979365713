//! Links through other brokers, from both sides: those that this broker has, and other brokers that listen
//! in on its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use abide_model::{AgentId, BrokerId};
use abide_wire::agent::{self, AgentMessage, BrokerMessage, agent_message, broker_message};
use abide_wire::greeting_in_pieces;
use abide_wire::peer::RelayReply;
use tokio::sync::{Notify, mpsc};

use super::link::{Commanded, Heard, Listener};
use super::{Hub, send};

/// How an agent is spoken to here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Through which broker; `None` for its own stream, and where there is no link.
    pub via: Option<BrokerId>,
    /// When it was heard last, if ever.
    pub heard: Option<Instant>,
}

/// One side of a conversation that a listener has with an agent.
pub struct ListeningIn {
    /// The listener's number.
    pub number: u64,
    /// What the agent said before.
    pub opening: Vec<RelayReply>,
}

impl Hub {
    /// Waits until an agent's own stream may have come or gone.
    pub async fn comings(&self) {
        self.0.comings.notified().await;
    }

    /// The agents whose own streams have greeted, and how long ago each was heard.
    pub fn heard_here(&self, now: Instant) -> Vec<(AgentId, Duration)> {
        let links = self.lock();
        let own = links.by_agent.iter();
        let own = own.filter(|(_, link)| link.via.is_none() && link.greeting.is_some());
        own.map(|(agent, link)| (agent.clone(), now.duration_since(link.heard.instant))).collect()
    }

    /// How these agents are spoken to.
    pub fn lines<'a>(
        &self,
        agents: impl Iterator<Item = &'a AgentId>,
    ) -> HashMap<&'a AgentId, Line> {
        let links = self.lock();
        let line = |agent| match links.by_agent.get(agent) {
            Some(link) => Line { via: link.via.clone(), heard: Some(link.heard.instant) },
            None => {
                let heard = links.last_heard.get(agent).map(|heard| heard.instant);
                Line { via: None, heard }
            }
        };
        agents.map(|agent| (agent, line(agent))).collect()
    }

    /// Takes in a line through another broker, which heard the agent then, as [`Hub::connect`] does; not if
    /// the link that is there has heard it since.
    pub fn connect_through(
        &self,
        agent: &AgentId,
        via: BrokerId,
        outbox: mpsc::Sender<BrokerMessage>,
        heard: Heard,
    ) -> Option<(u64, Arc<Notify>)> {
        let mut links = self.lock();
        let link = links.by_agent.get(agent);
        if link.is_some_and(|link| link.heard.instant >= heard.instant) {
            return None;
        }
        Some(links.put(agent, Some(via), outbox, heard))
    }

    /// Gives up all links through other brokers.
    pub fn hang_up_all(&self) {
        let mut links = self.lock();
        let relayed = links.by_agent.iter().filter(|(_, link)| link.via.is_some());
        for agent in relayed.map(|(agent, _)| agent.clone()).collect::<Vec<_>>() {
            links.take(&agent);
        }
    }

    /// Another broker listens in on an agent's own stream: what it says from now on goes to `out`, until the
    /// stream ends. `None` if this broker does not hear it.
    pub fn listen_in(
        &self,
        agent: &AgentId,
        out: mpsc::Sender<RelayReply>,
        now: Instant,
    ) -> Option<ListeningIn> {
        use agent_message::Message;
        let mut links = self.lock();
        let number = links.number();
        let link = links.by_agent.get_mut(agent).filter(|link| link.via.is_none())?;
        let hello = link.greeting.as_ref()?.hello.clone();
        let greeting = greeting_in_pieces(hello, link.rows.values().cloned());
        let load = link.load.iter().map(|it| Message::Load(it.load.clone()));
        let ago = now.duration_since(link.heard.instant).as_millis();
        let ago_ms = u32::try_from(ago).unwrap_or(u32::MAX);
        let opening = greeting.into_iter().map(Message::Hello).chain(load).map(|message| {
            let message = Some(AgentMessage { message: Some(message) });
            RelayReply { message, ago_ms }
        });
        let opening = opening.collect();
        link.listeners.push(Listener { number, out });
        Some(ListeningIn { number, opening })
    }

    /// Passes a listener's command on; whether it still listens in.
    pub fn pass_on(&self, agent: &AgentId, listener: u64, command: agent::Command) -> bool {
        let mut links = self.lock();
        let link = links.by_agent.get_mut(agent);
        let is_its = |it: &Listener| it.number == listener;
        let Some(link) = link.filter(|link| link.listeners.iter().any(is_its)) else {
            return false;
        };
        if let Some(agent::command::Command::Forget(forget)) = &command.command
            && let Ok(session) = forget.session.parse()
        {
            link.rows.remove(&session);
        }
        let id = link.number_command(Commanded::ForListener { listener, id: command.id });
        let command = agent::Command { id, ..command };
        send(&mut links, agent, broker_message::Message::Command(command));
        true
    }

    /// A listener goes.
    pub fn hang_up(&self, agent: &AgentId, listener: u64) {
        if let Some(link) = self.lock().by_agent.get_mut(agent) {
            link.listeners.retain(|it| it.number != listener);
        }
    }
}
