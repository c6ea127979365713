//! A broker as far as an agent sees one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use abide_model::{BrokerId, ClusterId, SessionId, Timestamp};
use abide_ticket::{
    Claims, SigningKey, StartOrder, StatusToken, TICKET_LIFETIME_MS, Ticket, TokenId, ViewMode,
};
use abide_tls::{Authority, Clients, Identity, JoinToken, Node, NodeKey, NodeRole};
use abide_wire::agent::brokerage_server::{Brokerage, BrokerageServer};
use abide_wire::agent::{
    self, AgentMessage, Answer, BrokerMessage, ClockReply, ClusterConfig, ClusterView, Command,
    EndReason, Hello, JoinBrokerReply, JoinBrokerRequest, JoinReply, JoinRequest, LedgerRow, Load,
    RenewReply, RenewRequest, Version, Welcome, agent_message, answer, broker_message, command,
    ledger_row,
};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::world::within;

/// What an agent said, and a way to answer.
#[derive(Default)]
struct Heard {
    messages: Vec<agent_message::Message>,
    /// To the agent's newest stream.
    outbox: Option<mpsc::Sender<Result<BrokerMessage, Status>>>,
}

struct Inner {
    authority: Authority,
    signing: SigningKey,
    id: BrokerId,
    certificate: String,
    address: String,
    /// This broker's clock minus the host's, milliseconds.
    clock: AtomicI64,
    heard: watch::Sender<Heard>,
    commands: AtomicU64,
}

/// The broker. Clones share it.
#[derive(Clone)]
pub(super) struct Broker(Arc<Inner>);

pub(super) const PORTAL: &str = "http://portal.test:8080";

impl Broker {
    /// A broker of a cluster of its own, on loopback. It serves until the runtime ends.
    pub(super) async fn start() -> Self {
        let authority = Authority::create(ClusterId(Uuid::new_v4()), SystemTime::now());
        let key = NodeKey::generate();
        let issued =
            authority.issue(&key.request(), NodeRole::Broker, &[], SystemTime::now()).unwrap();
        let Node::Broker(id) = issued.node else { panic!("not a broker") };
        let identity =
            Identity::new(key, &issued.pem, &authority.ca_pem(), authority.root_key()).unwrap();
        let signing = SigningKey::from_seed(&[2; 32]);
        let certificate = authority.certify(id.clone(), signing.verifying_key(), Timestamp(0));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let broker = Self(Arc::new(Inner {
            authority,
            signing,
            id,
            certificate,
            address,
            clock: AtomicI64::new(0),
            heard: watch::Sender::new(Heard::default()),
            commands: AtomicU64::new(0),
        }));
        let acceptor = TlsAcceptor::from(identity.internal_server(Clients::NodesAndNewcomers));
        let (connections, incoming) = mpsc::channel(16);
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                // An agent that is killed in the middle is no failure.
                if let Ok(tls) = acceptor.accept(tcp).await {
                    let _ = connections.send(Ok::<_, std::io::Error>(tls)).await;
                }
            }
        });
        let service = BrokerageServer::new(broker.clone());
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(ReceiverStream::new(incoming)),
        );
        broker
    }

    /// Puts a certificate into an agent's folder that ends in 224 days, of 824.
    pub(super) fn age(&self, folder: &Path) {
        let agent = Identity::load(folder).unwrap();
        let then = SystemTime::now() - Duration::from_secs(600 * 24 * 3600);
        let authority = &self.0.authority;
        let old = authority.issue(&agent.request(), NodeRole::Agent, &agent.names(), then);
        std::fs::write(folder.join("cert.pem"), old.unwrap().pem).unwrap();
    }

    pub(super) fn address(&self) -> &str {
        &self.0.address
    }

    pub(super) fn join_token(&self) -> JoinToken {
        let expires = self.now().plus(60_000);
        let authority = &self.0.authority;
        JoinToken::generate(authority.cluster(), authority.fingerprint(), NodeRole::Agent, expires)
    }

    /// Puts this broker's clock ahead of the host's.
    pub(super) fn set_clock(&self, ahead: Duration) {
        self.0.clock.store(ahead.as_millis() as i64, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> Timestamp {
        let ahead = self.0.clock.load(Ordering::Relaxed);
        Timestamp(crate::clock::now().0.saturating_add_signed(ahead))
    }

    pub(super) fn cluster(&self) -> ClusterId {
        self.0.authority.cluster()
    }

    pub(super) fn sign<C: Claims>(&self, claims: &C) -> String {
        self.0.signing.sign(self.cluster(), claims)
    }

    /// A ticket as it should be.
    pub(super) fn ticket(&self, order: &StartOrder, mode: ViewMode) -> Ticket {
        let now = self.now();
        Ticket {
            jti: TokenId(Uuid::new_v4()),
            session: order.session,
            agent: order.agent.clone(),
            user: order.user.clone(),
            mode,
            issued_at: now,
            expires_at: now.plus(TICKET_LIFETIME_MS),
            status: self.sign(&StatusToken {
                jti: TokenId(Uuid::new_v4()),
                session: order.session,
                user: order.user.clone(),
                issued_at: now,
                expires_at: now.plus(1_000_000),
            }),
        }
    }

    fn view(&self) -> ClusterView {
        ClusterView {
            key_certificates: vec![self.0.certificate.clone()],
            brokers: vec![agent::Broker {
                id: self.0.id.to_string(),
                public_url: PORTAL.to_owned(),
                agent_address: self.0.address.clone(),
            }],
            cluster: self.cluster().to_string(),
            ..ClusterView::default()
        }
    }

    /// Sends a command and waits for its answer.
    pub(super) async fn command(
        &self,
        fence: agent::Fence,
        command: command::Command,
    ) -> answer::Answer {
        let id = self.0.commands.fetch_add(1, Ordering::Relaxed) + 1;
        let command = Command { id, fence: Some(fence), command: Some(command) };
        let message = BrokerMessage { message: Some(broker_message::Message::Command(command)) };
        let outbox = self.0.heard.borrow().outbox.clone().expect("an agent is connected");
        outbox.send(Ok(message)).await.expect("the agent's stream stands");
        let answer = self.wait("an answer", |message| match message {
            agent_message::Message::Answer(Answer { command, answer }) if *command == id => {
                answer.clone()
            }
            _ => None,
        });
        answer.await
    }

    /// Asks whom the agent obeys, and for a promise.
    pub(super) async fn obeys(&self, promise: Option<agent::Promise>) -> agent::Obeys {
        let probe = self.0.commands.fetch_add(1, Ordering::Relaxed) + 1;
        let outbox = self.0.heard.borrow().outbox.clone().expect("an agent is connected");
        let message = Some(broker_message::Message::Fence(agent::FenceProbe { probe, promise }));
        outbox.send(Ok(BrokerMessage { message })).await.expect("the agent's stream stands");
        let answer = self.wait("whom it obeys", |message| match message {
            agent_message::Message::Obeys(obeys) if obeys.probe == probe => Some(*obeys),
            _ => None,
        });
        answer.await
    }

    /// Tells the agent of the cluster anew.
    pub(super) async fn tell_config(&self, revision: u64, text: &str) {
        let outbox = self.0.heard.borrow().outbox.clone().expect("an agent is connected");
        let config = ClusterConfig {
            version: Some(Version { revision, ..Version::default() }),
            text: text.to_owned().into(),
            cluster: self.cluster().to_string(),
        };
        let message = Some(broker_message::Message::Config(config));
        outbox.send(Ok(BrokerMessage { message })).await.expect("the agent's stream stands");
    }

    /// The names of what the agent offers since its greeting.
    pub(super) async fn offer(&self) -> Vec<String> {
        let offer = self.wait("an offer", |message| match message {
            agent_message::Message::Offer(offer) => Some(offer.clone()),
            _ => None,
        });
        offer.await.profiles.into_iter().map(|it| it.name).collect()
    }

    pub(super) async fn tell_cluster(&self, view: ClusterView) {
        let outbox = self.0.heard.borrow().outbox.clone().expect("an agent is connected");
        let message = Some(broker_message::Message::Cluster(view));
        outbox.send(Ok(BrokerMessage { message })).await.expect("the agent's stream stands");
    }

    /// Waits until something was heard since the last [`Broker::forget`].
    pub(super) async fn wait<T>(
        &self,
        what: &str,
        find: impl Fn(&agent_message::Message) -> Option<T>,
    ) -> T {
        let mut heard = self.0.heard.subscribe();
        let search = async {
            loop {
                if let Some(found) = heard.borrow_and_update().messages.iter().find_map(&find) {
                    return found;
                }
                heard.changed().await.expect("the broker lives");
            }
        };
        within(what, search).await
    }

    /// Forgets what was heard.
    pub(super) fn forget(&self) {
        self.0.heard.send_modify(|heard| heard.messages.clear());
    }

    pub(super) async fn hello(&self) -> Hello {
        self.wait("a greeting", |message| match message {
            agent_message::Message::Hello(hello) => Some(hello.clone()),
            _ => None,
        })
        .await
    }

    /// Waits for a report, or a row in a greeting, of this session in this state.
    pub(super) async fn state(
        &self,
        session: SessionId,
        wanted: impl Fn(&ledger_row::State) -> bool,
    ) -> LedgerRow {
        let id = session.to_string();
        let right = |row: &&LedgerRow| row.session == id && row.state.as_ref().is_some_and(&wanted);
        self.wait("a report", |message| match message {
            agent_message::Message::Report(row) => Some(row).filter(right).cloned(),
            agent_message::Message::Hello(hello) => hello.sessions.iter().find(right).cloned(),
            _ => None,
        })
        .await
    }

    pub(super) async fn running(&self, session: SessionId) -> LedgerRow {
        self.state(session, |state| matches!(state, ledger_row::State::Running(_))).await
    }

    pub(super) async fn ended(&self, session: SessionId) -> EndReason {
        let is_end = |state: &ledger_row::State| matches!(state, ledger_row::State::Ended(_));
        match self.state(session, is_end).await.state {
            Some(ledger_row::State::Ended(ended)) => ended.reason.unwrap(),
            _ => unreachable!("it was waited for"),
        }
    }

    /// Waits until the newest load says so many viewers of a session.
    pub(super) async fn viewers(&self, session: SessionId, count: u32) {
        let id = session.to_string();
        self.forget();
        self.wait("a viewer count", |message| match message {
            agent_message::Message::Load(Load { viewers, .. }) => {
                let seen = viewers.iter().find(|it| it.session == id).map_or(0, |it| it.count);
                (seen == count).then_some(())
            }
            _ => None,
        })
        .await;
    }
}

#[tonic::async_trait]
impl Brokerage for Broker {
    type AttachStream = ReceiverStream<Result<BrokerMessage, Status>>;

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinReply>, Status> {
        let request = request.into_inner();
        let authority = &self.0.authority;
        let issued = authority
            .issue(&request.certificate_request, NodeRole::Agent, &request.names, SystemTime::now())
            .map_err(|cause| Status::invalid_argument(cause.to_string()))?;
        Ok(Response::new(JoinReply {
            cluster: authority.cluster().to_string(),
            agent: issued.node.id().to_owned(),
            certificate: issued.pem,
            ca: authority.ca_pem(),
            root_key: authority.root_key().to_string(),
            brokers: vec![self.0.address.clone()],
        }))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewReply>, Status> {
        let asked = &request.get_ref().certificate_request;
        let names = ["renewed.test".to_owned()];
        let now = SystemTime::now();
        let issued = self.0.authority.issue(asked, NodeRole::Agent, &names, now);
        let issued = issued.map_err(|cause| Status::invalid_argument(cause.to_string()))?;
        Ok(Response::new(RenewReply { certificate: issued.pem }))
    }

    async fn join_broker(
        &self,
        _: Request<JoinBrokerRequest>,
    ) -> Result<Response<JoinBrokerReply>, Status> {
        Err(Status::unimplemented("a played broker stays alone"))
    }

    async fn attach(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let (outbox, messages) = mpsc::channel(64);
        let say = |message| Ok(BrokerMessage { message: Some(message) });
        // As a broker does that is older, or has no configuration.
        let (broker, cluster) = (self.0.id.to_string(), Some(self.view()));
        let welcome = Welcome { broker, cluster, config: None };
        outbox.try_send(say(broker_message::Message::Welcome(welcome))).unwrap();
        self.0.heard.send_modify(|heard| heard.outbox = Some(outbox.clone()));
        let (broker, mut stream) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(AgentMessage { message: Some(message) })) = stream.message().await {
                if let agent_message::Message::Clock(probe) = &message {
                    let reply = ClockReply { probe: probe.probe, now_ms: broker.now().0 };
                    let _ = outbox.send(say(broker_message::Message::Clock(reply))).await;
                }
                broker.0.heard.send_modify(|heard| heard.messages.push(message));
            }
        });
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}
