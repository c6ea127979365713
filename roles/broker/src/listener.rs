//! Hearing one agent: what it says, in its own stream or through another broker, goes to the hub.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use abide_model::{
    AgentFacts, AgentId, BrokerId, Change, EndReason, Fence, Report, SessionId, Timestamp,
};
use abide_wire::agent::{self, BrokerMessage, Hello, LedgerRow, agent_message, broker_message};
use tokio::sync::{Notify, mpsc};
use tokio_stream::{Stream, StreamExt};
use tonic::Status;
use tracing::{info, warn};

use crate::broker::Broker;
use crate::clock;
use crate::hub::{Commanded, Greeting, Heard, Hub, Order, Reported};
use crate::rebuild;
use crate::stream::chain;

/// How long a command waits after it was refused for a fence that this broker cannot rise above.
const FENCED_PAUSE: Duration = Duration::from_secs(1);
/// The version of the agents' protocol that this broker speaks.
const PROTOCOL: u32 = 1;
/// Sessions in one greeting at the most; far beyond what one host can run.
const MAX_SESSIONS: usize = 100_000;
/// Kinds of desktop in one greeting at the most.
const MAX_PROFILES: usize = 1_000;
/// An agent with more labels than this is broken.
const MAX_LABELS: usize = 1_000;
/// Bytes of a text that an agent says of itself, and that goes into the table.
const MAX_TEXT: usize = 1_024;

/// Hears one agent until its link ends.
pub struct Listener {
    /// This broker.
    pub broker: Broker,
    /// Whom it hears.
    pub agent: AgentId,
    /// Through whom; `None` on the agent's own stream.
    pub via: Option<BrokerId>,
    /// The link's.
    pub number: u64,
    /// What is to be said to the agent.
    pub outbox: mpsc::Sender<BrokerMessage>,
    /// The hub gave the link up.
    pub dropped: Arc<Notify>,
}

/// What an agent said, and when; nothing if this version does not know it.
pub struct Said {
    /// The message.
    pub message: Option<agent_message::Message>,
    /// When.
    pub heard: Heard,
}

/// Why a stream is closed on an agent.
#[derive(Debug, thiserror::Error)]
enum Unheard {
    #[error("the agent speaks protocol {0}, this broker speaks {PROTOCOL}")]
    Protocol(u32),
    #[error("the agent greeted with more than this broker takes")]
    TooMany,
    #[error("a message is malformed")]
    Malformed(#[from] abide_wire::ConvertError),
    #[error("an identifier is malformed")]
    Id(#[from] abide_model::InvalidId),
    #[error("a message came before the greeting")]
    Early,
}

impl Listener {
    /// Hears it; what it says must begin with its greeting.
    pub async fn run(self, mut said: impl Stream<Item = Result<Said, Status>> + Unpin) {
        let via = self.via.as_ref().map(BrokerId::as_str);
        let mut rows = Some(HashMap::new());
        let dropped = self.dropped.clone();
        loop {
            let next = tokio::select! {
                next = said.next() => next,
                () = dropped.notified() => {
                    warn!(agent = %self.agent, via,
                        "Agent does not read, or is heard in another way: stream closed");
                    break;
                }
            };
            let Said { message, heard } = match next {
                Some(Ok(said)) => said,
                None => break,
                Some(Err(cause)) => {
                    info!(agent = %self.agent, via, cause = %cause, "Agent's stream broke");
                    break;
                }
            };
            self.broker.hub.heard(&self.agent, self.number, heard);
            let Some(message) = message else { continue };
            if let Err(cause) = self.take(message, &mut rows).await {
                let cause: &dyn std::error::Error = &cause;
                warn!(agent = %self.agent, via, cause, "Agent's stream is closed");
                break;
            }
        }
        self.broker.hub.disconnect(&self.agent, self.number);
        info!(agent = %self.agent, via, "Agent disconnected");
    }

    /// `rows` collects the greeting's; `None` once it is complete.
    async fn take(
        &self,
        message: agent_message::Message,
        rows: &mut Option<HashMap<SessionId, LedgerRow>>,
    ) -> Result<(), Unheard> {
        use agent_message::Message;
        let (hub, agent, number) = (&self.broker.hub, &self.agent, self.number);
        match message {
            Message::Hello(hello) => self.greet(hello, rows).await,
            Message::Clock(probe) => {
                if let Some(seen) = clock::sighting(Timestamp(probe.now_ms)) {
                    hub.see_clock(agent, number, seen);
                }
                let now_ms = self.broker.clock.now().0;
                let reply = agent::ClockReply { probe: probe.probe, now_ms };
                let message = Some(broker_message::Message::Clock(reply));
                // A full outbox costs one measurement.
                let _ = self.outbox.try_send(BrokerMessage { message });
                Ok(())
            }
            _ if rows.is_some() => Err(Unheard::Early),
            Message::Obeys(obeys) => {
                hub.obeys(agent, number, obeys);
                Ok(())
            }
            Message::Offer(offer) => {
                check(&offer.profiles, "")?;
                hub.offer(agent, number, offer)?;
                Ok(())
            }
            Message::Load(load) => {
                let viewers = load
                    .viewers
                    .iter()
                    .map(|it| Ok((it.session.parse()?, it.count)))
                    .collect::<Result<_, Unheard>>()?;
                hub.load(agent, number, Reported { load, viewers, at: self.broker.clock.now() });
                Ok(())
            }
            Message::Report(row) => {
                hub.report(agent, number, row.session.parse()?, row);
                Ok(())
            }
            Message::Answer(answer) => {
                self.answered(answer).await;
                Ok(())
            }
        }
    }

    async fn greet(
        &self,
        hello: Hello,
        rows: &mut Option<HashMap<SessionId, LedgerRow>>,
    ) -> Result<(), Unheard> {
        check(&hello.profiles, &hello.public_url)?;
        if hello.labels.len() > MAX_LABELS {
            return Err(Unheard::TooMany);
        }
        if hello.protocol != PROTOCOL {
            return Err(Unheard::Protocol(hello.protocol));
        }
        let mut hello = hello;
        let mut all = rows.take().unwrap_or_default();
        for row in std::mem::take(&mut hello.sessions) {
            all.insert(row.session.parse()?, row);
        }
        if all.len() > MAX_SESSIONS {
            return Err(Unheard::TooMany);
        }
        if hello.more {
            *rows = Some(all);
            return Ok(());
        }
        let profiles = hello.profiles.iter().cloned().map(TryInto::try_into);
        let facts = Arc::new(AgentFacts {
            boot: hello.boot_id.parse()?,
            public_url: hello.public_url.clone(),
            weight: hello.weight.max(1),
            profiles: profiles.collect::<Result<_, _>>()?,
            labels: abide_wire::labels(&hello.labels)?,
            max_sessions: hello.max_sessions,
        });
        let fence = hello.fence.unwrap_or_default().into();
        let told = hello.cluster.clone().unwrap_or_default();
        rebuild::take_back(&self.broker, &self.agent, &hello.name, &told).await;
        let version = told.version.unwrap_or_default();
        let greeting = Greeting { facts, fence, version, hello };
        self.broker.hub.greet(&self.agent, self.number, greeting, all);
        Ok(())
    }

    async fn answered(&self, answer: agent::Answer) {
        use agent::answer::Answer;
        let hub = &self.broker.hub;
        let command = hub.answered(&self.agent, self.number, &answer);
        let Some(answer) = answer.answer else { return };
        let (session, order) = match command {
            Some(Commanded::Order(session, order)) => (session, order),
            Some(Commanded::LogOuts) => return self.answered_log_out(answer).await,
            Some(Commanded::ForListener { .. }) | None => return,
        };
        match answer {
            Answer::Obeyed(_) => {}
            Answer::Fenced(it) => {
                let highest = Fence::from(it.highest.unwrap_or_default());
                warn!(agent = %self.agent, %highest, "Agent obeys a higher fence");
                hub.obeys_another(&self.agent, self.number, highest);
                let again = move |it: Hub, agent: AgentId, number| {
                    it.retry(&agent, number, (session, order));
                };
                self.outranked(highest, again).await;
            }
            Answer::Rejected(it) => {
                warn!(agent = %self.agent, %session, ?order, detail = it.detail,
                    "Agent rejected a command");
                if order == Order::Start {
                    self.refused(session, it.detail).await;
                }
            }
        }
    }

    async fn answered_log_out(&self, answer: agent::answer::Answer) {
        use agent::answer::Answer;
        match answer {
            Answer::Obeyed(_) => {}
            Answer::Fenced(it) => {
                let highest = Fence::from(it.highest.unwrap_or_default());
                let again = |it: Hub, agent: AgentId, number| it.retry_log_outs(&agent, number);
                self.outranked(highest, again).await;
            }
            Answer::Rejected(it) => {
                warn!(agent = %self.agent, detail = it.detail, "Agent rejected a log-out");
            }
        }
    }

    /// The agent obeys a higher fence than the command's, which is given `again`: at once if this broker
    /// rises above that, else after a pause. What else the agent says is heard meanwhile.
    async fn outranked(
        &self,
        highest: Fence,
        again: impl FnOnce(Hub, AgentId, u64) + Send + 'static,
    ) {
        let rises = rebuild::rise(&self.broker, &self.agent, highest.generation).await;
        let (hub, agent, number) = (self.broker.hub.clone(), self.agent.clone(), self.number);
        if rises {
            return again(hub, agent, number);
        }
        tokio::spawn(async move {
            // Nothing will be obeyed until somebody mends that: no reason to hurry.
            tokio::time::sleep(FENCED_PAUSE).await;
            again(hub, agent, number);
        });
    }

    /// A reservation ends as refused.
    async fn refused(&self, session: SessionId, detail: String) {
        let Some(greeting) = self.broker.hub.greeting(&self.agent) else { return };
        let detail: String = detail.chars().take(MAX_TEXT / 4).collect();
        let reason = EndReason::NeverStarted { detail: detail.into() };
        let change = Change::Report {
            session,
            agent: self.agent.clone(),
            boot: greeting.facts.boot.clone(),
            report: Report::Ended { reason },
        };
        if let Err(cause) = self.broker.propose(change).await {
            warn!(%session, cause = chain(&cause), "A refusal could not be committed");
            self.broker.hub.retry(&self.agent, self.number, (session, Order::Start));
        }
    }
}

/// Whether what an agent says of itself is no more than what may go into the table.
fn check(profiles: &[agent::Profile], public_url: &str) -> Result<(), Unheard> {
    let texts = profiles.iter().map(|it| it.title.len()).chain([public_url.len()]);
    match profiles.len() > MAX_PROFILES || texts.max() > Some(MAX_TEXT) {
        true => Err(Unheard::TooMany),
        false => Ok(()),
    }
}
