//! Agents that are played: they speak the agents' protocol with every broker and start nothing, so that one
//! machine bears many of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use abide_api::JoinRole;
use abide_client::Api;
use abide_model::{Fence, SessionId};
use abide_peers::Patience;
use abide_tls::{Identity, JoinToken, NodeKey, join_client};
use abide_wire::agent::brokerage_client::BrokerageClient;
use abide_wire::agent::{
    self, AgentMessage, Asked, EndReason, Ended, Hello, JoinRequest, LedgerRow, Load,
    agent_message::Message, answer, broker_message, command, end_reason, ledger_row::State,
};
use anyhow::{Context, ensure};
use base64::Engine;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;

use crate::Cluster;

/// With a broker.
pub(crate) const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(5),
    probe_after: Duration::from_secs(2),
    probe_within: Duration::from_secs(3),
};
/// Twice as often as agents must, since a machine that plays twenty of them may be late.
const LOAD_EVERY: Duration = Duration::from_millis(500);
/// Before a broker that did not let it in is tried again.
const PAUSE: Duration = Duration::from_millis(200);
/// Messages that may wait for a broker.
const OUTBOX: usize = 4096;
const BOOT: &str = "11111111-2222-4333-8444-555555555555";

/// An agent whose sessions run as soon as they are ordered, and are nothing but rows.
#[derive(Debug)]
pub struct PlayedAgent {
    /// Its id in the cluster.
    pub id: String,
    /// Its share.
    pub weight: u32,
    ledger: Arc<Ledger>,
    /// Its streams; they end with this value.
    streams: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Ledger(Mutex<Rows>);

#[derive(Debug, Default)]
struct Rows {
    rows: HashMap<SessionId, LedgerRow>,
    /// When each session was ordered first.
    ordered: HashMap<SessionId, Instant>,
    /// The highest that was obeyed.
    fence: Fence,
    /// To each broker.
    outs: Vec<mpsc::Sender<AgentMessage>>,
}

impl PlayedAgent {
    /// Joins the cluster and keeps a stream to each of its brokers. It offers one profile, `played`.
    ///
    /// # Errors
    /// When it is not let in.
    pub async fn join(
        cluster: &Cluster,
        admin: &Api,
        name: &str,
        weight: u32,
    ) -> anyhow::Result<Self> {
        let token = admin.join_token(JoinRole::Agent, None).await?.token;
        let token: JoinToken = token.parse()?;
        let key = NodeKey::generate();
        let request = JoinRequest {
            token_secret: token.secret().to_string(),
            certificate_request: key.request(),
            name: name.to_owned(),
            names: vec!["127.0.0.1".to_owned()],
        };
        let address = &cluster.broker().agent_address;
        let (channel, _) = abide_peers::dial(address, join_client(&token), PATIENCE).await?;
        let reply = BrokerageClient::new(channel).join(request).await?.into_inner();
        let root = reply.root_key.parse()?;
        let identity = Arc::new(Identity::new(key, &reply.certificate, &reply.ca, root)?);
        let ledger = Arc::new(Ledger::default());
        let hello = Hello {
            protocol: 1,
            version: "played".to_owned(),
            boot_id: BOOT.to_owned(),
            name: name.to_owned(),
            public_url: format!("http://127.0.0.1:1/{name}"),
            weight,
            profiles: vec![agent::Profile { name: "played".into(), title: "Played".into() }],
            ..Hello::default()
        };
        let mut streams = JoinSet::new();
        for broker in cluster.brokers() {
            let stream = Stream {
                address: broker.agent_address.clone(),
                identity: Arc::clone(&identity),
                ledger: Arc::clone(&ledger),
                hello: hello.clone(),
            };
            streams.spawn(stream.run());
        }
        Ok(Self { id: reply.agent, weight, ledger, streams })
    }

    /// Is silent from now on, as a host without power.
    pub async fn die(&mut self) {
        self.streams.shutdown().await;
    }

    /// The sessions in its ledger that run.
    pub fn running(&self) -> Vec<SessionId> {
        let rows = self.ledger.lock();
        let runs = |row: &LedgerRow| matches!(row.state, Some(State::Running(_)));
        rows.rows.iter().filter(|(_, row)| runs(row)).map(|(id, _)| *id).collect()
    }

    /// When this session was ordered, if it was.
    pub fn ordered(&self, session: SessionId) -> Option<Instant> {
        self.ledger.lock().ordered.get(&session).copied()
    }
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Rows> {
        // A row is replaced at a time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The greeting, and from now on all that changes.
    fn greet(&self, hello: &Hello, out: &mpsc::Sender<AgentMessage>) -> Vec<Hello> {
        let mut rows = self.lock();
        rows.outs.retain(|it| !it.is_closed());
        rows.outs.push(out.clone());
        let hello = Hello { fence: Some(rows.fence.into()), ..hello.clone() };
        abide_wire::greeting_in_pieces(hello, rows.rows.values().cloned())
    }

    /// Whether what changes goes there.
    fn tells(&self, out: &mpsc::Sender<AgentMessage>) -> bool {
        self.lock().outs.iter().any(|it| it.same_channel(out))
    }

    /// Obeys, unless a higher fence was obeyed before.
    fn obey(&self, command: &agent::Command) -> anyhow::Result<answer::Answer> {
        let fence: Fence = command.fence.context("a command without a fence")?.into();
        let mut rows = self.lock();
        if fence < rows.fence {
            return Ok(answer::Answer::Fenced(agent::Fenced { highest: Some(rows.fence.into()) }));
        }
        rows.fence = fence;
        match command.command.as_ref() {
            Some(command::Command::Start(start)) => {
                let session = session_of(&start.order)?;
                rows.ordered.entry(session).or_insert_with(Instant::now);
                if !rows.rows.contains_key(&session) {
                    rows.report(session, start.order.clone(), State::Starting(agent::Starting {}));
                    rows.report(session, start.order.clone(), State::Running(agent::Running {}));
                }
            }
            Some(command::Command::End(end)) => {
                let by = Asked { by: end.by.clone() };
                let reason = EndReason { reason: Some(end_reason::Reason::Asked(by)) };
                let ended = Ended { at_ms: 0, reason: Some(reason) };
                rows.report(end.session.parse()?, String::new(), State::Ended(ended));
            }
            Some(command::Command::Cancel(cancel)) => {
                let state = State::Cancelled(agent::Cancelled {});
                rows.report(cancel.session.parse()?, String::new(), state);
            }
            Some(command::Command::Forget(forget)) => {
                let session: SessionId = forget.session.parse()?;
                rows.rows.remove(&session);
            }
            _ => {}
        }
        Ok(answer::Answer::Obeyed(agent::Obeyed {}))
    }
}

impl Rows {
    fn report(&mut self, session: SessionId, order: String, state: State) {
        let known = self.rows.get(&session).map(|row| row.start_order.clone());
        let row = LedgerRow {
            session: session.to_string(),
            start_order: known.unwrap_or(order),
            state: Some(state),
            boot_id: BOOT.to_owned(),
            ever_attached: false,
        };
        self.rows.insert(session, row.clone());
        // A broker that does not read is given up.
        self.outs.retain(|out| {
            out.try_send(AgentMessage { message: Some(Message::Report(row.clone())) }).is_ok()
        });
    }
}

/// The stream to one broker.
struct Stream {
    address: String,
    identity: Arc<Identity>,
    ledger: Arc<Ledger>,
    hello: Hello,
}

impl Stream {
    /// Keeps it, for ever.
    async fn run(self) {
        loop {
            // A broker that is down, or does not lead yet: there is nobody to tell.
            let _ = self.attach().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn attach(&self) -> anyhow::Result<()> {
        let tls = self.identity.internal_client();
        let (channel, _) = abide_peers::dial(&self.address, tls, PATIENCE).await?;
        let (out, messages) = mpsc::channel(OUTBOX);
        let send = async |message| out.send(AgentMessage { message: Some(message) }).await;
        let request = ReceiverStream::new(messages);
        let mut inbox = BrokerageClient::new(channel).attach(request).await?.into_inner();
        for piece in self.ledger.greet(&self.hello, &out) {
            send(Message::Hello(piece)).await?;
        }
        let mut load = tokio::time::interval(LOAD_EVERY);
        loop {
            tokio::select! {
                _ = load.tick() => {
                    ensure!(self.ledger.tells(&out), "the broker does not read");
                    send(Message::Load(calm())).await?;
                }
                message = inbox.message() => {
                    let message = message?.context("the broker closed the stream")?;
                    let Some(broker_message::Message::Command(command)) = message.message else {
                        continue;
                    };
                    let answer = Some(self.ledger.obey(&command)?);
                    send(Message::Answer(agent::Answer { command: command.id, answer })).await?;
                }
            }
        }
    }
}

/// A host that does next to nothing.
fn calm() -> Load {
    Load {
        memory_available: 12 << 30,
        memory_total: 16 << 30,
        cpus: 8,
        load1_milli: 200,
        cpu_pressure_centi: 50,
        ..Load::default()
    }
}

/// Which session an order is for: its claims are the payload of a v4.public token, before the signature.
fn session_of(order: &str) -> anyhow::Result<SessionId> {
    let body = order.split('.').nth(2).context("the order is no token")?;
    let body = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(body)?;
    let claims = body.len().checked_sub(64).and_then(|end| body.get(..end));
    let claims: serde_json::Value = serde_json::from_slice(claims.context("no claims")?)?;
    Ok(claims["session"].as_str().context("no session")?.parse()?)
}
