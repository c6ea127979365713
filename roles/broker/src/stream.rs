//! The listener for agents: joining, and one stream from each.
//!
//! Who an agent is comes from its certificate. Joining is the one call without.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use abide_model::{AgentFacts, AgentId, Change, EndReason, Outcome, Report, SessionId, Timestamp};
use abide_peers::{shown, who};
use abide_tls::{Node, NodeRole, PeerIdentity, certified_names, secret_hash};
use abide_wire::agent::brokerage_server::Brokerage;
use abide_wire::agent::{
    self, AgentMessage, BrokerMessage, Hello, JoinBrokerReply, JoinBrokerRequest, JoinReply,
    JoinRequest, LedgerRow, RenewReply, RenewRequest, agent_message, broker_message,
};
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};
use tracing::{info, warn};

use crate::admit;
use crate::broker::Broker;
use crate::clock;
use crate::hub::{Greeting, OUTBOX, Order, Reported};
use crate::rebuild;

/// How long a command waits after it was refused for a fence that this broker cannot rise above.
const FENCED_PAUSE: Duration = Duration::from_secs(1);
/// The version of the agents' protocol that this broker speaks.
const PROTOCOL: u32 = 1;
/// Sessions in one greeting at the most; far beyond what one host can run.
const MAX_SESSIONS: usize = 100_000;
/// Kinds of desktop in one greeting at the most.
const MAX_PROFILES: usize = 1_000;
/// Bytes of a text that an agent says of itself, and that goes into the table.
const MAX_TEXT: usize = 1_024;

/// The service.
pub struct AgentService(pub Broker);

#[tonic::async_trait]
impl Brokerage for AgentService {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<BrokerMessage, Status>> + Send>>;

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinReply>, Status> {
        let request = request.into_inner();
        let hash = secret_hash(&request.token_secret);
        let (authority, now) = (&self.0.authority, self.0.clock.system_time());
        let issued = authority
            .issue(&request.certificate_request, NodeRole::Agent, &request.names, now)
            .map_err(|cause| Status::invalid_argument(chain(&cause)))?;
        let Node::Agent(agent) = issued.node else {
            return Err(Status::invalid_argument("the request is not an agent's"));
        };
        let name: String = request.name.chars().filter(|c| !c.is_control()).take(64).collect();
        let change = Change::AdmitAgent { hash, agent: agent.clone(), name };
        match self.0.propose(change).await {
            Ok(Outcome::Refused(refusal)) => Err(Status::permission_denied(refusal.to_string())),
            Ok(_) => {
                info!(%agent, "Agent joined");
                let table = self.0.raft.latest();
                Ok(Response::new(JoinReply {
                    cluster: authority.cluster().to_string(),
                    agent: agent.to_string(),
                    certificate: issued.pem,
                    ca: authority.ca_pem(),
                    root_key: authority.root_key().to_string(),
                    brokers: table.0.brokers().map(|it| it.agent_address.clone()).collect(),
                }))
            }
            Err(cause) => Err(Status::unavailable(chain(&cause))),
        }
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewReply>, Status> {
        let agent = self.who(&request)?;
        if self.0.raft.latest().0.agent(&agent).is_none() {
            return Err(not_in_the_table());
        }
        let names = certified_names(shown(request.extensions())?)
            .map_err(|cause| Status::unauthenticated(chain(&cause)))?;
        let asked = &request.get_ref().certificate_request;
        let now = self.0.clock.system_time();
        let issued = self.0.authority.issue(asked, NodeRole::Agent, &names, now);
        let issued = issued.map_err(|cause| Status::invalid_argument(chain(&cause)))?;
        if issued.node != Node::Agent(agent.clone()) {
            return Err(Status::permission_denied("the request is for another key"));
        }
        info!(%agent, "Agent's certificate renewed");
        Ok(Response::new(RenewReply { certificate: issued.pem }))
    }

    async fn join_broker(
        &self,
        request: Request<JoinBrokerRequest>,
    ) -> Result<Response<JoinBrokerReply>, Status> {
        admit::broker(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn attach(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let agent = self.who(&request)?;
        let table = self.0.raft.latest();
        // One of a lost table is taken back when it greets.
        if table.0.agent(&agent).is_none() && table.0.rebuild().is_none() {
            return Err(not_in_the_table());
        }
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let (number, dropped) = self.0.hub.connect(&agent, outbox.clone(), self.0.clock.heard());
        info!(%agent, "Agent connected");
        let welcome = broker_message::Message::Welcome(agent::Welcome {
            broker: self.0.id.to_string(),
            cluster: Some(self.0.cluster_view(&self.0.raft.latest().0)),
        });
        // The outbox is new and empty.
        let _ = outbox.try_send(BrokerMessage { message: Some(welcome) });
        let listener = Listener { broker: self.0.clone(), agent, number, outbox, dropped };
        tokio::spawn(listener.run(request.into_inner()));
        Ok(Response::new(Box::pin(ReceiverStream::new(messages).map(Ok))))
    }
}

impl AgentService {
    fn who<T>(&self, request: &Request<T>) -> Result<AgentId, Status> {
        match who(request.extensions())? {
            PeerIdentity { node: Node::Agent(agent), cluster }
                if cluster == self.0.identity.cluster() =>
            {
                Ok(agent)
            }
            _ => Err(Status::unauthenticated("the certificate is no agent's of this cluster")),
        }
    }
}

fn not_in_the_table() -> Status {
    Status::permission_denied("this agent is not in the cluster's table")
}

/// Hears one agent until its stream ends.
struct Listener {
    broker: Broker,
    agent: AgentId,
    number: u64,
    outbox: mpsc::Sender<BrokerMessage>,
    /// The hub gave the link up.
    dropped: Arc<Notify>,
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
    async fn run(self, mut stream: Streaming<AgentMessage>) {
        let mut rows = Some(HashMap::new());
        let dropped = self.dropped.clone();
        loop {
            let next = tokio::select! {
                next = stream.message() => next,
                () = dropped.notified() => {
                    warn!(agent = %self.agent, "Agent does not read, or came anew: stream closed");
                    break;
                }
            };
            let message = match next {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(cause) => {
                    info!(agent = %self.agent, cause = %cause, "Agent's stream broke");
                    break;
                }
            };
            self.broker.hub.heard(&self.agent, self.number, self.broker.clock.heard());
            let Some(message) = message.message else { continue };
            if let Err(cause) = self.take(message, &mut rows).await {
                let cause: &dyn std::error::Error = &cause;
                warn!(agent = %self.agent, cause, "Agent's stream is closed");
                break;
            }
        }
        self.broker.hub.disconnect(&self.agent, self.number);
        info!(agent = %self.agent, "Agent disconnected");
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
        let texts = hello.profiles.iter().map(|it| it.title.len()).chain([hello.public_url.len()]);
        if hello.profiles.len() > MAX_PROFILES || texts.max() > Some(MAX_TEXT) {
            return Err(Unheard::TooMany);
        }
        if hello.protocol != PROTOCOL {
            return Err(Unheard::Protocol(hello.protocol));
        }
        let mut all = rows.take().unwrap_or_default();
        for row in hello.sessions {
            all.insert(row.session.parse()?, row);
        }
        if all.len() > MAX_SESSIONS {
            return Err(Unheard::TooMany);
        }
        if hello.more {
            *rows = Some(all);
            return Ok(());
        }
        let profiles = hello.profiles.into_iter().map(TryInto::try_into);
        let facts = Arc::new(AgentFacts {
            boot: hello.boot_id.parse()?,
            public_url: hello.public_url,
            weight: hello.weight.max(1),
            profiles: profiles.collect::<Result<_, _>>()?,
        });
        let fence = hello.fence.unwrap_or_default().into();
        let told = hello.cluster.unwrap_or_default();
        rebuild::take_back(&self.broker, &self.agent, &hello.name, &told).await;
        let version = told.version.unwrap_or_default();
        let greeting = Greeting { facts, fence, version };
        self.broker.hub.greet(&self.agent, self.number, greeting, all);
        Ok(())
    }

    async fn answered(&self, answer: agent::Answer) {
        use agent::answer::Answer;
        let hub = &self.broker.hub;
        let command = hub.answered(&self.agent, self.number, answer.command);
        let Some(answer) = answer.answer else { return };
        let Some((session, order)) = command else {
            return self.answered_log_out(answer).await;
        };
        match answer {
            Answer::Obeyed(_) => {}
            Answer::Fenced(it) => {
                let highest = abide_model::Fence::from(it.highest.unwrap_or_default());
                warn!(agent = %self.agent, %highest, "Agent obeys a higher fence");
                if !rebuild::rise(&self.broker, highest.generation).await {
                    // Nothing will be obeyed until somebody mends that: no reason to hurry.
                    tokio::time::sleep(FENCED_PAUSE).await;
                }
                hub.retry(&self.agent, self.number, (session, order));
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

    /// Commands about no session are log-outs.
    async fn answered_log_out(&self, answer: agent::answer::Answer) {
        use agent::answer::Answer;
        match answer {
            Answer::Obeyed(_) => {}
            Answer::Fenced(it) => {
                let highest = it.highest.unwrap_or_default();
                if !rebuild::rise(&self.broker, highest.generation).await {
                    tokio::time::sleep(FENCED_PAUSE).await;
                }
                self.broker.hub.retry_log_outs(&self.agent, self.number);
            }
            Answer::Rejected(it) => {
                warn!(agent = %self.agent, detail = it.detail, "Agent rejected a log-out");
            }
        }
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

/// An error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
