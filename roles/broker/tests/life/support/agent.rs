//! An agent that is played: it speaks the protocol and starts nothing.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use abide_model::{AgentId, BootId, SessionId};
use abide_ticket::VerifyingKey;
use abide_tls::{
    BrokerIdentity, Identity, JoinToken, NodeKey, NodeRole, internal_name, join_client,
};
use abide_wire::agent::brokerage_client::BrokerageClient;
use abide_wire::agent::{
    self, AgentMessage, Hello, JoinRequest, LedgerRow, agent_message, answer, broker_message,
    command, ledger_row,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};

use super::{Broker, Person, until};

/// A played agent's identity and ledger; they outlive its connections.
pub struct Agent {
    pub id: AgentId,
    pub identity: Identity,
    name: String,
    /// In PEM.
    key: String,
    told: Arc<Mutex<Option<agent::ClusterView>>>,
    broker: SocketAddr,
    pub ledger: Arc<Mutex<HashMap<SessionId, LedgerRow>>>,
    pub boot: BootId,
    /// Whether sessions that are ordered come to run.
    pub obeys: bool,
    /// Users that it was told were logged out everywhere, and until when.
    pub log_outs: Arc<Mutex<Vec<(String, u64)>>>,
    /// Its share, and how many sessions it takes.
    pub weight: u32,
    pub max_sessions: Option<u32>,
    /// The highest that it says it obeyed.
    pub fence: Option<agent::Fence>,
    streams: Streams,
}

/// To all brokers: each hears of everything.
type Streams = Arc<Mutex<Vec<mpsc::Sender<AgentMessage>>>>;

impl Agent {
    pub async fn join(broker: &Broker, admin: &Person, name: &str) -> Self {
        Self::join_with(NodeKey::generate(), broker, admin, name).await
    }

    /// Leaves its cluster for another; its ledger and its key stay.
    pub async fn join_anew(&mut self, broker: &Broker, admin: &Person, name: &str) {
        let key = NodeKey::from_pem(&self.key).unwrap();
        let ledger = Arc::clone(&self.ledger);
        *self = Self { ledger, ..Self::join_with(key, broker, admin, name).await };
    }

    async fn join_with(key: NodeKey, broker: &Broker, admin: &Person, name: &str) -> Self {
        let role = json!({"role": "agent"});
        let (status, reply) = admin.call("POST", "/api/v1/cluster/tokens", None, role).await;
        assert_eq!(status, 200, "{reply}");
        let token: JoinToken = reply["token"].as_str().unwrap().parse().unwrap();
        let mut client = BrokerageClient::new(channel(broker.agents, join_client(&token)).await);
        let request = JoinRequest {
            token_secret: token.secret().to_string(),
            certificate_request: key.request(),
            name: name.to_owned(),
            names: vec!["127.0.0.1".to_owned()],
        };
        let reply = client.join(request).await.unwrap().into_inner();
        assert_eq!(reply.agent, key.node(NodeRole::Agent).id());
        let root = reply.root_key.parse().unwrap();
        let told = (reply.certificate.as_str(), reply.ca.as_str(), root);
        Self::new(broker, name, reply.agent.parse().unwrap(), key, told)
    }

    /// `told` are its certificate, the CA's, and the root key.
    fn new(
        broker: &Broker,
        name: &str,
        id: AgentId,
        key: NodeKey,
        told: (&str, &str, VerifyingKey),
    ) -> Self {
        let (certificate, ca, root) = told;
        Self {
            id,
            key: key.to_pem().to_string(),
            identity: Identity::new(key, certificate, ca, root).unwrap(),
            name: name.to_owned(),
            told: Arc::default(),
            broker: broker.agents,
            ledger: Arc::default(),
            boot: "boot-1".parse().unwrap(),
            obeys: true,
            log_outs: Arc::default(),
            weight: 1,
            max_sessions: None,
            fence: None,
            streams: Arc::default(),
        }
    }

    /// An agent with a good certificate that no broker has let in.
    pub fn unadmitted(broker: &Broker) -> Self {
        let of_broker = BrokerIdentity::load(&broker.identity_dir()).unwrap();
        let key = NodeKey::generate();
        let now = std::time::SystemTime::now();
        let issued = of_broker.authority.issue(&key.request(), NodeRole::Agent, &[], now).unwrap();
        let (ca, root) = (of_broker.authority.ca_pem(), of_broker.authority.root_key());
        let id = issued.node.id().parse().unwrap();
        Self::new(broker, "stranger", id, key, (&issued.pem, &ca, root))
    }

    /// Has a certificate from now on that ends in 224 days, of 824.
    pub fn age(&mut self, broker: &Broker) {
        let request = self.identity.request();
        let pem = broker.certificate_of_old(&request, NodeRole::Agent, &self.identity.names());
        let old = NodeKey::from_pem(&self.key).unwrap();
        self.identity =
            Identity::new(old, &pem, &self.identity.ca_pem(), self.identity.root_key()).unwrap();
    }

    /// Asks for a new certificate for the key of this request.
    pub async fn renew(&self, request: String) -> Result<String, tonic::Status> {
        let channel = channel(self.broker, self.identity.internal_client()).await;
        let request = agent::RenewRequest { certificate_request: request };
        let reply = BrokerageClient::new(channel).renew(request).await?;
        Ok(reply.into_inner().certificate)
    }

    /// Connects, greets, and obeys until the handle is dropped.
    pub async fn connect(&self) -> JoinSetGuard {
        self.connect_at(self.broker, Manner::Alive).await.unwrap()
    }

    /// The same to a certain broker, once its table has the agent.
    pub async fn connect_to(&self, broker: &Broker) -> JoinSetGuard {
        until("the broker lets the agent in", || async {
            self.connect_at(broker.agents, Manner::Alive).await.ok()
        })
        .await
    }

    /// The same, but it neither speaks nor listens any more once it has greeted.
    pub async fn greet_and_freeze(&self, broker: &Broker) -> JoinSetGuard {
        self.connect_at(broker.agents, Manner::Frozen).await.unwrap()
    }

    async fn connect_at(
        &self,
        broker: SocketAddr,
        manner: Manner,
    ) -> Result<JoinSetGuard, tonic::Status> {
        let channel = channel(broker, self.identity.internal_client()).await;
        let (out, messages) = mpsc::channel(1024);
        let sessions = self.ledger.lock().unwrap().values().cloned().collect();
        let hello = Hello {
            protocol: 1,
            version: "test".into(),
            boot_id: self.boot.to_string(),
            name: self.name.clone(),
            public_url: format!("http://127.0.0.1:1/{}", &self.id.as_str()[..4]),
            weight: self.weight,
            profiles: vec![agent::Profile { name: "desktop".into(), title: "Desktop".into() }],
            fence: self.fence,
            sessions,
            more: false,
            cluster: self.told.lock().unwrap().clone(),
            labels: vec![],
            max_sessions: self.max_sessions,
        };
        send(&out, agent_message::Message::Hello(hello)).await;
        let mut client = BrokerageClient::new(channel);
        let stream = client.attach(ReceiverStream::new(messages)).await?.into_inner();
        let mut tasks = tokio::task::JoinSet::new();
        if manner == Manner::Frozen {
            tasks.spawn(async move {
                let _held = (stream, out);
                std::future::pending().await
            });
            return Ok(JoinSetGuard(tasks));
        }
        self.streams.lock().unwrap().push(out.clone());
        let load = out.clone();
        tasks.spawn(async move {
            let mut second = tokio::time::interval(Duration::from_millis(500));
            loop {
                second.tick().await;
                send(&load, agent_message::Message::Load(agent::Load::default())).await;
            }
        });
        let player = Player {
            out,
            ledger: Arc::clone(&self.ledger),
            boot: self.boot.clone(),
            obeys: self.obeys,
            log_outs: Arc::clone(&self.log_outs),
            told: Arc::clone(&self.told),
            streams: Arc::clone(&self.streams),
        };
        tasks.spawn(player.play(stream));
        Ok(JoinSetGuard(tasks))
    }
}

#[derive(PartialEq)]
enum Manner {
    Alive,
    Frozen,
}

/// The agent's connection; ends when dropped.
pub struct JoinSetGuard(
    #[expect(dead_code, reason = "ends its tasks when dropped")] tokio::task::JoinSet<()>,
);

struct Player {
    out: mpsc::Sender<AgentMessage>,
    ledger: Arc<Mutex<HashMap<SessionId, LedgerRow>>>,
    boot: BootId,
    obeys: bool,
    log_outs: Arc<Mutex<Vec<(String, u64)>>>,
    told: Arc<Mutex<Option<agent::ClusterView>>>,
    streams: Streams,
}

impl Player {
    async fn play(self, mut stream: tonic::Streaming<agent::BrokerMessage>) {
        while let Ok(Some(message)) = stream.message().await {
            let command = match message.message {
                Some(broker_message::Message::Command(command)) => command,
                Some(broker_message::Message::Welcome(welcome)) => {
                    self.hear(welcome.cluster.unwrap());
                    continue;
                }
                Some(broker_message::Message::Cluster(view)) => {
                    self.hear(view);
                    continue;
                }
                _ => continue,
            };
            let obeyed = agent::Answer {
                command: command.id,
                answer: Some(answer::Answer::Obeyed(agent::Obeyed {})),
            };
            send(&self.out, agent_message::Message::Answer(obeyed)).await;
            match command.command.unwrap() {
                command::Command::Start(start) if self.obeys => self.start(start.order).await,
                command::Command::End(end) => self.end(&end.session).await,
                command::Command::Cancel(cancel) => {
                    let state = ledger_row::State::Cancelled(agent::Cancelled {});
                    self.report(&cancel.session, String::new(), state).await;
                }
                command::Command::Forget(forget) => {
                    self.ledger.lock().unwrap().remove(&forget.session.parse().unwrap());
                }
                command::Command::RevokePasses(revoke) => {
                    self.log_outs.lock().unwrap().push((revoke.user, revoke.before_ms));
                }
                _ => {}
            }
        }
    }

    /// Keeps the newest view, as agents do.
    fn hear(&self, view: agent::ClusterView) {
        let version = |it: &agent::ClusterView| {
            let version = it.version.unwrap();
            (version.generation, version.claimant, version.revision)
        };
        let mut told = self.told.lock().unwrap();
        if told.as_ref().is_none_or(|known| version(known) <= version(&view)) {
            *told = Some(view);
        }
    }

    async fn start(&self, order: String) {
        // The payload of a v4.public token: its claims, before the signature.
        let session = session_of(&order);
        for state in [
            ledger_row::State::Starting(agent::Starting {}),
            ledger_row::State::Running(agent::Running {}),
        ] {
            self.report(&session, order.clone(), state).await;
        }
    }

    async fn end(&self, session: &str) {
        let order = {
            let ledger = self.ledger.lock().unwrap();
            ledger[&session.parse().unwrap()].start_order.clone()
        };
        let asked = agent::end_reason::Reason::Asked(agent::Asked { by: "test".into() });
        let ended =
            agent::Ended { at_ms: 0, reason: Some(agent::EndReason { reason: Some(asked) }) };
        self.report(session, order, ledger_row::State::Ended(ended)).await;
    }

    async fn report(&self, session: &str, order: String, state: ledger_row::State) {
        let row = LedgerRow {
            session: session.to_owned(),
            start_order: order,
            state: Some(state),
            boot_id: self.boot.to_string(),
            ever_attached: false,
        };
        self.ledger.lock().unwrap().insert(session.parse().unwrap(), row.clone());
        let streams = self.streams.lock().unwrap().clone();
        for out in &streams {
            send(out, agent_message::Message::Report(row.clone())).await;
        }
    }
}

fn session_of(order: &str) -> String {
    use base64::Engine;
    let body = order.split('.').nth(2).unwrap();
    let body = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(body).unwrap();
    let claims: Value = serde_json::from_slice(&body[..body.len() - 64]).unwrap();
    claims["session"].as_str().unwrap().to_owned()
}

async fn send(out: &mpsc::Sender<AgentMessage>, message: agent_message::Message) {
    // The broker may be gone: then there is nobody to tell.
    let _ = out.send(AgentMessage { message: Some(message) }).await;
}

async fn channel(address: SocketAddr, tls: Arc<ClientConfig>) -> Channel {
    let connector = TlsConnector::from(tls);
    let connect = tower::service_fn(move |_: Uri| {
        let connector = connector.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            let stream = connector.connect(internal_name(), stream).await?;
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        }
    });
    Endpoint::from_static("http://broker").connect_with_connector(connect).await.unwrap()
}

impl Agent {
    /// The certificates of the brokers' keys, as it was told last.
    pub fn certificates(&self) -> BTreeSet<String> {
        let told = self.told.lock().unwrap();
        told.iter().flat_map(|view| view.key_certificates.clone()).collect()
    }

    /// Has a session in its ledger that no broker ordered; returns its id.
    pub fn claim_without_an_order(&self) -> String {
        let id = uuid::Uuid::now_v7();
        let row = LedgerRow {
            session: id.to_string(),
            start_order: "v4.public.forged".into(),
            state: Some(ledger_row::State::Running(agent::Running {})),
            boot_id: self.boot.to_string(),
            ever_attached: true,
        };
        self.ledger.lock().unwrap().insert(SessionId(id), row);
        id.to_string()
    }
}
