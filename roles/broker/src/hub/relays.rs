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

    /// How many agents this broker speaks with through others.
    pub fn relayed(&self) -> usize {
        self.lock().by_agent.values().filter(|link| link.via.is_some()).count()
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use abide_model::{AgentFacts, Fence, SessionId, Timestamp};
    use abide_wire::agent::{BrokerMessage, Cancel, LedgerRow, answer, command};

    use super::*;
    use crate::hub::{Greeting, Order, Reported};

    fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(n: u8) -> T {
        format!("{n:032x}").parse().unwrap()
    }

    fn session(n: u128) -> SessionId {
        SessionId(uuid::Uuid::from_u128(n))
    }

    fn now() -> Heard {
        Heard { instant: Instant::now(), at: Timestamp(0) }
    }

    /// An agent that has greeted with one session.
    fn greeted(hub: &Hub, via: Option<BrokerId>) -> (u64, mpsc::Receiver<BrokerMessage>) {
        let (outbox, said) = mpsc::channel(8);
        let agent = id(1);
        let (number, _) = match via {
            None => hub.connect(&agent, outbox, now()),
            Some(via) => hub.connect_through(&agent, via, outbox, now()).unwrap(),
        };
        let hello = agent::Hello { name: "host".into(), ..agent::Hello::default() };
        let facts = AgentFacts {
            boot: "boot".parse().unwrap(),
            public_url: String::new(),
            weight: 1,
            profiles: Vec::new(),
            labels: std::collections::BTreeSet::new(),
            max_sessions: None,
        };
        let (facts, version) = (Arc::new(facts), agent::Version::default());
        let greeting = Greeting { facts, fence: Fence::default(), version, hello };
        hub.greet(&agent, number, greeting, [(session(1), row(1))].into());
        (number, said)
    }

    fn row(n: u128) -> LedgerRow {
        LedgerRow { session: session(n).to_string(), ..LedgerRow::default() }
    }

    fn cancel(n: u128) -> command::Command {
        command::Command::Cancel(Cancel { session: session(n).to_string() })
    }

    fn commanded(said: &mut mpsc::Receiver<BrokerMessage>) -> agent::Command {
        match said.try_recv().unwrap().message {
            Some(broker_message::Message::Command(command)) => command,
            other => panic!("{other:?}"),
        }
    }

    fn message(reply: RelayReply) -> agent_message::Message {
        reply.message.unwrap().message.unwrap()
    }

    fn obeyed(command: u64) -> agent::Answer {
        agent::Answer { command, answer: Some(answer::Answer::Obeyed(agent::Obeyed {})) }
    }

    #[test]
    fn a_listener_hears_what_was_said_and_is_said_and_the_answers_to_its_own_commands_alone() {
        use agent_message::Message;
        let (hub, agent) = (Hub::default(), id(1));
        let (number, mut said) = greeted(&hub, None);
        let (out, mut heard) = mpsc::channel(8);
        let later = Instant::now() + Duration::from_millis(700);
        let listening = hub.listen_in(&agent, out, later).unwrap();
        let ago = listening.opening.iter().map(|reply| reply.ago_ms).min().unwrap();
        assert!((700..7_000).contains(&ago), "what was said before is no sign of life: {ago} ms");
        let opening: Vec<_> = listening.opening.into_iter().map(message).collect();
        let [Message::Hello(hello)] = &opening[..] else { panic!("{opening:?}") };
        assert_eq!((hello.name.as_str(), &hello.sessions[..]), ("host", &[row(1)][..]));

        hub.report(&agent, number, session(2), row(2));
        let (load, viewers) = (agent::Load::default(), HashMap::new());
        hub.load(&agent, number, Reported { load, viewers, at: Timestamp(0) });
        assert_eq!(message(heard.try_recv().unwrap()), Message::Report(row(2)));
        assert_eq!(message(heard.try_recv().unwrap()), Message::Load(load_of(&hub)));

        // The listener's number 1 is not this broker's.
        hub.command(&agent, session(3), Order::Cancel, Fence::default(), cancel(3));
        let fence = Fence { generation: 0, claimant: 0, term: 9, leader: 9 };
        let theirs = agent::Command { id: 1, fence: Some(fence.into()), command: Some(cancel(4)) };
        assert!(hub.pass_on(&agent, listening.number, theirs.clone()));
        let (own, passed) = (commanded(&mut said), commanded(&mut said));
        assert_ne!(own.id, passed.id);
        assert_eq!(agent::Command { id: 1, ..passed.clone() }, theirs, "fence and all");

        assert_eq!(hub.answered(&agent, number, &obeyed(passed.id)), None);
        assert_eq!(message(heard.try_recv().unwrap()), Message::Answer(obeyed(1)));
        let answered = hub.answered(&agent, number, &obeyed(own.id));
        assert_eq!(answered, Some(Commanded::Order(session(3), Order::Cancel)));
        assert!(heard.try_recv().is_err());

        hub.disconnect(&agent, number);
        assert_eq!(heard.try_recv().unwrap_err(), mpsc::error::TryRecvError::Disconnected);
        assert!(!hub.pass_on(&agent, listening.number, theirs));
    }

    fn load_of(hub: &Hub) -> agent::Load {
        hub.load_of(&id(1)).unwrap().load.clone()
    }

    #[test]
    fn a_line_through_another_broker_is_no_evidence_for_a_third() {
        let (hub, agent) = (Hub::default(), id(1));
        let (_, mut said) = greeted(&hub, Some(id(2)));
        assert_eq!(hub.heard_here(Instant::now()), []);
        assert!(hub.listen_in(&agent, mpsc::channel(1).0, Instant::now()).is_none());
        let lines = hub.lines([&agent].into_iter());
        assert_eq!(lines[&agent].via, Some(id(2)));

        hub.hang_up_all();
        assert_eq!(said.try_recv().unwrap_err(), mpsc::error::TryRecvError::Disconnected);
        greeted(&hub, None);
        hub.hang_up_all();
        assert_eq!(hub.heard_here(Instant::now()).len(), 1, "its own stream stays");
    }

    #[test]
    fn a_line_does_not_take_the_place_of_a_stream_that_was_heard_since() {
        let (hub, agent) = (Hub::default(), id(1));
        let earlier = now();
        greeted(&hub, None);
        let outbox = || mpsc::channel(1).0;
        assert!(hub.connect_through(&agent, id(2), outbox(), earlier).is_none());
        assert!(hub.connect_through(&agent, id(2), outbox(), now()).is_some());
        hub.connect(&agent, outbox(), now());
        assert_eq!(
            hub.lines([&agent].into_iter())[&agent].via,
            None,
            "the stream takes the line's"
        );
    }
}
