//! A broker in this process, and agents that are played.

mod agent;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use abide_auth::{PasswordHash, Standing, User, UsersFile};
use abide_ticket::Role;
use abide_tls::{BrokerIdentity, JoinToken, NodeRole};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use agent::Agent;

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
