//! A broker in this process, and agents that are played: they speak the protocol and start nothing.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use abide_auth::{PasswordHash, Standing, User, UsersFile};
use abide_model::{AgentId, BootId, SessionId};
use abide_ticket::{Role, VerifyingKey};
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
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// Long enough for a busy machine; nothing here takes a tenth of it.
pub const SOON: Duration = Duration::from_secs(20);

/// Of recovery bundles here.
pub const PASSPHRASE: &str = "correct horse";

pub struct Broker {
    pub folder: TempDir,
    pub http: SocketAddr,
    pub agents: SocketAddr,
    /// What its configuration says first.
    pub config: String,
    running: Option<(watch::Sender<bool>, JoinHandle<()>)>,
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Broker {
    /// A new cluster with one broker and the users `root` (an administrator), `ada` and `bob`.
    pub async fn start() -> Self {
        let mut broker = Self::unmade();
        broker.init(abide_broker::Founding::New, None);
        broker.add_users();
        broker.run().await;
        broker
    }

    pub fn add_users(&self) {
        for (name, role) in
            [("root", Role::Administrator), ("ada", Role::User), ("bob", Role::User)]
        {
            let password = PasswordHash::of(&"secret".to_owned().into()).unwrap();
            let user = User { password, groups: vec![], role, standing: Standing::Active };
            let path = self.folder.path().join("users.toml");
            UsersFile::change(&path, |users| users.insert(name.parse().unwrap(), user)).unwrap();
        }
    }

    /// Its data folder is gone, and its identity too.
    pub fn lose_all(&self) {
        self.lose_data();
        std::fs::remove_dir_all(self.settings().identity_dir).unwrap();
    }

    /// Its data folder is gone.
    pub fn lose_data(&self) {
        std::fs::remove_dir_all(self.settings().data_dir).unwrap();
    }

    /// Makes an identity.
    pub fn init(&self, founding: abide_broker::Founding, bundle: Option<&Path>) {
        let options = abide_broker::InitOptions {
            identity_dir: self.settings().identity_dir,
            public_url: self.url("").parse().unwrap(),
            founding,
            bundle: bundle.map(|path| (path.to_owned(), PASSPHRASE.to_owned().into())),
        };
        abide_broker::init(&options).unwrap();
    }

    /// Runs the broker on its folder.
    pub async fn run(&mut self) {
        let settings = self.settings();
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let shutdown = async move { drop(stopped.wait_for(|stop| *stop).await) };
            abide_broker::run(settings, shutdown).await.unwrap();
        });
        self.running = Some((stop, task));
        until("the broker is ready", || async {
            let ready = reqwest::get(self.url("/readyz")).await;
            ready.ok().filter(|it| it.status().is_success())
        })
        .await;
    }

    /// The broker's own identity folder.
    pub fn identity_dir(&self) -> PathBuf {
        self.folder.path().join("identity")
    }

    /// A certificate by the cluster's CA that was made 600 days ago.
    pub fn certificate_of_old(&self, request: &str, role: NodeRole, names: &[String]) -> String {
        let authority = BrokerIdentity::load(&self.identity_dir()).unwrap().authority;
        let then = std::time::SystemTime::now() - Duration::from_secs(600 * 24 * 3600);
        authority.issue(request, role, names, then).unwrap().pem
    }

    /// As its configuration says.
    pub fn settings(&self) -> abide_broker::Settings {
        let folder = self.folder.path().display();
        let text = format!(
            "{}\ndata_dir = '{folder}/data'\nidentity_dir = '{folder}/identity'\n\
             public_url = '{}'\n[listen]\nhttp = '{}'\nagents = '{}'\n[tls]\nmode = 'off'\n\
             [login]\nbackend = 'users-file'\nusers_file = '{folder}/users.toml'\n",
            self.config,
            self.url(""),
            self.http,
            self.agents,
        );
        abide_broker::settings_from(Path::new("broker.toml"), &text).unwrap()
    }

    /// Another one, which has joined the first and runs. It knows no users.
    pub async fn join(first: &Self, admin: &Person) -> Self {
        let mut broker = Self::unmade();
        let role = json!({"role": "broker"});
        let (status, reply) = admin.call("POST", "/api/v1/cluster/tokens", None, role).await;
        assert_eq!(status, 200, "{reply}");
        let token: JoinToken = reply["token"].as_str().unwrap().parse().unwrap();
        let at = [first.agents.to_string()];
        abide_broker::join(&broker.settings(), &at, &token).await.unwrap();
        UsersFile::change(&broker.folder.path().join("users.toml"), |_| ()).unwrap();
        broker.run().await;
        broker
    }

    /// Its id in the cluster.
    pub fn id(&self) -> String {
        BrokerIdentity::load(&self.identity_dir()).unwrap().id().to_string()
    }

    /// One that has neither identity nor data yet.
    pub fn unmade() -> Self {
        let (http, agents) = (free_address(), free_address());
        let folder = tempfile::tempdir().unwrap();
        Self { folder, http, agents, config: String::new(), running: None }
    }

    pub async fn stop(&mut self) {
        let (stop, task) = self.running.take().unwrap();
        stop.send_replace(true);
        task.await.unwrap();
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    pub async fn log_in(&self, user: &str) -> Person {
        let reply = self.post("/api/v1/login", None, &json!({"username": user})).await.1;
        let conversation = reply["conversation"].as_str().unwrap();
        assert_eq!(reply["prompts"][0]["style"], "echo-off");
        let path = format!("/api/v1/login/{conversation}");
        let (status, reply) = self.post(&path, None, &json!({"answers": ["secret"]})).await;
        assert_eq!(status, 200, "{reply}");
        Person { token: reply["token"].as_str().unwrap().to_owned(), url: self.url("") }
    }

    /// A metric's value, without labels.
    pub async fn metric(&self, name: &str) -> String {
        let text = reqwest::get(self.url("/metrics")).await.unwrap().text().await.unwrap();
        let prefix = format!("{name} ");
        text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap().to_owned()
    }

    pub async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> (u16, Value) {
        let mut request = reqwest::Client::new().post(self.url(path)).json(body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or(Value::Null))
    }
}

/// Somebody who is logged in.
#[derive(Clone)]
pub struct Person {
    pub token: String,
    url: String,
}

impl Person {
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Value,
    ) -> (u16, Value) {
        let method = method.parse().unwrap();
        let request = reqwest::Client::new().request(method, format!("{}{path}", self.url));
        let mut request = request.bearer_auth(&self.token).json(&body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or(Value::Null))
    }

    pub async fn start(&self, want: &str, key: &str) -> (u16, Value) {
        self.call("POST", "/api/v1/sessions", Some(key), json!({"want": want})).await
    }

    pub async fn sessions(&self) -> Vec<Value> {
        let (status, reply) = self.call("GET", "/api/v1/sessions", None, Value::Null).await;
        assert_eq!(status, 200, "{reply}");
        reply["sessions"].as_array().unwrap().clone()
    }

    pub async fn session(&self, id: &str) -> Value {
        self.sessions().await.into_iter().find(|it| it["id"] == id).unwrap_or(Value::Null)
    }
}

/// Waits for something that surely comes, looking again and again.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let wait = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.unwrap_or_else(|_| panic!("not within {SOON:?}: {what}"))
}

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
            weight: 1,
            profiles: vec![agent::Profile { name: "desktop".into(), title: "Desktop".into() }],
            fence: self.fence,
            sessions,
            more: false,
            cluster: self.told.lock().unwrap().clone(),
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

impl Broker {
    /// Somebody whose login this broker's own key vouches for: many people without much hashing.
    pub fn person(&self, name: &str) -> Person {
        use abide_auth::{Accepted, Issuer};
        let folder = self.folder.path().join("identity");
        let identity = abide_tls::BrokerIdentity::load(&folder).unwrap();
        let issuer = Issuer::new(identity.identity.cluster(), identity.signing);
        let who = Accepted {
            user: name.parse().unwrap(),
            groups: vec![],
            role: Role::User,
            messages: vec![],
        };
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let now = abide_model::Timestamp(u64::try_from(since.as_millis()).unwrap());
        let (token, _) = issuer.login(&who, now, std::time::Duration::from_secs(600));
        Person { token, url: self.url("") }
    }
}

impl Broker {
    /// Puts a copy of the stopped broker's data aside.
    pub fn keep_data(&self) {
        let (from, to) = (self.folder.path().join("data"), self.folder.path().join("kept"));
        std::fs::create_dir(&to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    }

    /// What happened since [`Self::keep_data`] never was.
    pub fn bring_kept_data_back(&self) {
        let data = self.folder.path().join("data");
        std::fs::remove_dir_all(&data).unwrap();
        std::fs::rename(self.folder.path().join("kept"), data).unwrap();
    }
}

impl Agent {
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
