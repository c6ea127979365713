//! One agent's link, and what was said on it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use abide_clock::Sighting;
use abide_model::{AgentFacts, BrokerId, Fence, SessionId, Timestamp};
use abide_wire::agent::{self, AgentMessage, BrokerMessage, LedgerRow, agent_message};
use abide_wire::peer::RelayReply;
use tokio::sync::{Notify, mpsc};

use crate::log_outs::LogOuts;
use crate::placing::Told;

/// Two clocks' readings of one moment: one that never jumps, one that people read.
#[derive(Debug, Clone, Copy)]
pub struct Heard {
    /// For measuring.
    pub instant: Instant,
    /// For showing.
    pub at: Timestamp,
}

impl Heard {
    /// So long before.
    pub fn before(self, ago: Duration) -> Self {
        let ms = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        Self {
            // A clock that has not run so long has nothing earlier to tell.
            instant: self.instant.checked_sub(ago).unwrap_or(self.instant),
            at: Timestamp(self.at.0.saturating_sub(ms)),
        }
    }

    /// The later one.
    pub fn max(self, other: Self) -> Self {
        if self.instant < other.instant { other } else { self }
    }
}

/// One agent's stream, or line through another broker; the newest if there were several.
pub(super) struct Link {
    pub(super) number: u64,
    /// Through which broker; `None` for the agent's own stream.
    pub(super) via: Option<BrokerId>,
    pub(super) outbox: mpsc::Sender<BrokerMessage>,
    pub(super) dropped: Arc<Notify>,
    pub(super) greeting: Option<Arc<Greeting>>,
    pub(super) rows: HashMap<SessionId, LedgerRow>,
    pub(super) load: Option<Arc<Reported>>,
    pub(super) heard: Heard,
    /// What the agent's clock showed.
    pub(super) clock: Option<Sighting>,
    /// Whom it said to obey when it was asked last.
    pub(super) obeys: Option<agent::Obeys>,
    next_command: u64,
    /// What was commanded on this link, so that it is not repeated on it.
    pub(super) commanded: HashMap<u64, Commanded>,
    pub(super) pending: HashSet<(SessionId, Order)>,
    /// Who was logged out everywhere, as far as it was told on this link.
    pub(super) told_log_outs: LogOuts,
    /// Other brokers that listen in.
    pub(super) listeners: Vec<Listener>,
}

/// Another broker that listens in.
pub(super) struct Listener {
    pub(super) number: u64,
    pub(super) out: mpsc::Sender<RelayReply>,
}

/// What an agent said when it connected.
#[derive(Debug, Clone, PartialEq)]
pub struct Greeting {
    /// For the table.
    pub facts: Arc<AgentFacts>,
    /// The highest fence it obeyed.
    pub fence: Fence,
    /// Of the newest view of the cluster that it was told.
    pub version: agent::Version,
    /// As it came, but for the sessions.
    pub hello: agent::Hello,
}

/// An agent's load, and when it came.
#[derive(Debug)]
pub struct Reported {
    /// As it came.
    pub load: agent::Load,
    /// Viewers by session.
    pub viewers: HashMap<SessionId, u32>,
    /// When.
    pub at: Timestamp,
}

impl Reported {
    /// What counts for placement.
    pub fn told(&self) -> Told {
        let agent::Load { memory_available, memory_total, .. } = self.load;
        let left = memory_available.saturating_mul(10_000).checked_div(memory_total);
        Told {
            at: self.at,
            cpu_pressure: self.load.cpu_pressure_centi,
            memory_pressure: self.load.memory_pressure_centi,
            memory_left: left.map(|left| u32::try_from(left).unwrap_or(u32::MAX)),
        }
    }
}

/// A kind of command about one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// Start it.
    Start,
    /// End it.
    End,
    /// Never start it.
    Cancel,
    /// Its end is in the table.
    Forget,
}

/// What a command on a link was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commanded {
    /// One session.
    Order(SessionId, Order),
    /// Who was logged out everywhere.
    LogOuts,
    /// Another broker's business, under this number there.
    ForListener {
        /// Who listens in.
        listener: u64,
        /// The number.
        id: u64,
    },
}

/// What the driver has to look at.
#[derive(Debug, Default)]
pub struct Unread {
    /// The agent greeted: everything it lists, and what it does not list.
    pub greeted: bool,
    /// Single sessions.
    pub rows: HashSet<SessionId>,
}

impl Link {
    /// Nothing was said yet.
    pub(super) fn new(
        number: u64,
        via: Option<BrokerId>,
        outbox: mpsc::Sender<BrokerMessage>,
        heard: Heard,
    ) -> Self {
        Self {
            number,
            via,
            outbox,
            dropped: Arc::default(),
            greeting: None,
            rows: HashMap::new(),
            load: None,
            heard,
            clock: None,
            obeys: None,
            next_command: 0,
            commanded: HashMap::new(),
            pending: HashSet::new(),
            told_log_outs: LogOuts::default(),
            listeners: Vec::new(),
        }
    }

    /// The highest fence that the agent told to have obeyed; `None` before its greeting.
    pub(super) fn obeyed(&self) -> Option<Fence> {
        let told = self.obeys.and_then(|told| told.fence).unwrap_or_default();
        Some(self.greeting.as_ref()?.fence.max(told.into()))
    }

    /// Whether the agent is known to obey a higher claim than that of `fence`.
    pub(super) fn refuses(&self, fence: Fence) -> bool {
        let claim = |it: Fence| (it.generation, it.claimant);
        self.obeyed().is_some_and(|it| claim(it) > claim(fence))
    }

    /// The number of a command, under which the agent will answer.
    pub(super) fn number_command(&mut self, command: Commanded) -> u64 {
        self.next_command += 1;
        self.commanded.insert(self.next_command, command);
        self.next_command
    }

    /// Whether the agent has answered this question, or a later one.
    pub(super) fn answers(&self, probe: u64) -> bool {
        self.obeys.is_some_and(|told| told.probe >= probe)
    }

    /// Tells all who listen in what the agent said just now.
    pub(super) fn repeat(&mut self, message: impl Fn() -> agent_message::Message) {
        self.listeners.retain(|it| it.hear(message()));
    }

    /// Tells one of them.
    pub(super) fn tell(&mut self, listener: u64, message: agent_message::Message) {
        let mut message = Some(message);
        self.listeners.retain(|it| match message.take_if(|_| it.number == listener) {
            Some(message) => it.hear(message),
            None => true,
        });
    }
}

impl Listener {
    /// Whether it takes that; one that does not read is let go, to come back.
    fn hear(&self, message: agent_message::Message) -> bool {
        let message = Some(AgentMessage { message: Some(message) });
        self.out.try_send(RelayReply { message, ago_ms: 0 }).is_ok()
    }
}
