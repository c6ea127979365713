//! Starting the cluster, growing it, ending it.

mod faults;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use abide_client::{Api, Brokers, OneSecret, Trust};
use abide_tls::certificates_from_pem;
use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::guard::Guard;
use crate::options::{Options, WebTls};
use crate::process::{self, Turn, run, run_at};
use crate::servers::{AgentServer, BrokerServer, Entry, make_agent, make_broker, node_id, text};
use crate::sessions;
use crate::until::{GLANCE, until, until_ok};
use crate::whole::ensure_all_vote;

/// What any single step may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody who can log in.
#[derive(Debug, Clone)]
pub struct TestUser {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

/// A running cluster. Everything of it is gone after its drop.
#[derive(Debug)]
pub struct Cluster {
    options: Options,
    dir: PathBuf,
    brokers: Vec<BrokerServer>,
    agents: Vec<AgentServer>,
    admin: TestUser,
    ca_pem: String,
    // In this order: the guard is told that all is well before the folder goes.
    _guard: Guard,
    _temporary: Option<TempDir>,
}

impl Cluster {
    /// Makes a cluster and starts it; returns when it can serve, every broker votes and every agent is
    /// heard.
    ///
    /// # Errors
    /// What failed, with the last words of the process.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        // Other hosts' addresses are not for this one to try.
        if options.through.is_empty() {
            options.network.ensure_free(options.brokers, options.agents)?;
        }
        let (dir, temporary) = match &options.dir {
            Some(dir) => {
                std::fs::create_dir_all(dir)?;
                let occupied = std::fs::read_dir(dir)?.next().is_some();
                ensure!(!occupied, "{} is not empty", dir.display());
                (dir.canonicalize()?, None)
            }
            None => {
                let dir = tempfile::Builder::new().prefix("abide-").tempdir()?;
                (dir.path().canonicalize()?, Some(dir))
            }
        };
        let guard = Guard::over(&dir)?;
        let broker = make_broker(&options, &dir, 0, &Entry::First)?;
        let ca_pem = std::fs::read_to_string(broker.dir.join("identity/ca.pem"))?;
        let admin = TestUser { name: "admin".to_owned(), password: random_password() };
        let mut cluster = Self {
            options,
            dir,
            brokers: vec![broker],
            agents: Vec::new(),
            admin,
            ca_pem,
            _guard: guard,
            _temporary: temporary,
        };
        cluster.write_user(&cluster.admin, &["--admin"])?;
        let tell = cluster.options.tell;
        cluster.start_broker(0).await?;
        tell(&format!("{} has made the cluster", cluster.broker().name));
        let admin = cluster.log_in(&cluster.admin).await?;
        for index in 1..cluster.options.brokers {
            cluster.add_broker(index).await?;
            tell(&format!("{} has joined", cluster.brokers[usize::from(index)].name));
        }
        for index in 0..cluster.options.agents {
            cluster.add_agent(&admin, index).await?;
            tell(&format!("{} has joined", cluster.agents[usize::from(index)].name));
        }
        for index in 0..cluster.agents.len() {
            cluster.agents[index].process.start()?;
        }
        cluster.until_agents_are_heard(&admin).await?;
        cluster.until_brokers_vote(&admin).await?;
        Ok(cluster)
    }

    /// Returns when as many brokers vote as there are, and as many may be lost as can be.
    async fn until_brokers_vote(&self, api: &Api) -> anyhow::Result<()> {
        let all = u32::from(self.options.brokers);
        until_ok("every broker votes", PATIENCE, async || {
            let now = api.cluster().await?;
            ensure_all_vote(&now, self.brokers.len())?;
            ensure!(now.can_lose == (all - 1) / 2, "only {} may be lost", now.can_lose);
            Ok(())
        })
        .await
    }

    /// Where everything lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The first broker, which made the cluster.
    pub fn broker(&self) -> &BrokerServer {
        &self.brokers[0]
    }

    /// All brokers.
    pub fn brokers(&self) -> &[BrokerServer] {
        &self.brokers
    }

    /// The number of the broker that leads, once one does.
    ///
    /// # Errors
    /// When none does in time.
    pub async fn leader(&self, api: &Api) -> anyhow::Result<usize> {
        until("a broker leads", PATIENCE, async || {
            let leader = api.cluster().await.ok()?.leader?;
            self.brokers.iter().position(|broker| broker.id == leader)
        })
        .await
    }

    /// The agents.
    pub fn agents(&self) -> &[AgentServer] {
        &self.agents
    }

    /// The administrator.
    pub fn admin(&self) -> &TestUser {
        &self.admin
    }

    /// The cluster's CA in PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Where the CA's certificate lies in PEM.
    pub fn ca_path(&self) -> PathBuf {
        self.broker().dir.join("identity/ca.pem")
    }

    /// The users file.
    pub fn users_file(&self) -> PathBuf {
        self.dir.join("users.toml")
    }

    /// Whose certificates count at this cluster's servers.
    ///
    /// # Errors
    /// When its CA cannot be read.
    pub fn trust(&self) -> anyhow::Result<Trust> {
        let certificates = certificates_from_pem(&self.ca_pem).context("the CA is not PEM")?;
        let ca = certificates.into_iter().next().context("the CA is empty")?;
        Ok(match self.options.tls {
            WebTls::Off => Trust::System,
            WebTls::Cluster => Trust::Pinned(ca),
        })
    }

    /// Makes somebody who can log in, with a random password.
    ///
    /// # Errors
    /// When `abide user add` fails.
    pub fn add_user(&self, name: &str) -> anyhow::Result<TestUser> {
        let user = TestUser { name: name.to_owned(), password: random_password() };
        self.write_user(&user, &[])?;
        Ok(user)
    }

    /// The way to all brokers.
    ///
    /// # Errors
    /// When the CA cannot be used.
    pub fn ways(&self) -> anyhow::Result<Brokers> {
        let urls = self.brokers.iter().map(|broker| broker.url.clone()).collect();
        Brokers::new(urls, &self.trust()?).context("TLS")
    }

    /// The API in this person's name.
    ///
    /// # Errors
    /// When the login is refused, or nobody answers.
    pub async fn log_in(&self, user: &TestUser) -> anyhow::Result<Api> {
        let mut secret = OneSecret(Zeroizing::new(user.password.clone()));
        let login = self.ways()?.login(&user.name, &mut secret).await?;
        Ok(Api::new(self.ways()?, login.token))
    }

    /// The API in this person's name, at one broker alone.
    ///
    /// # Errors
    /// When the login is refused, or that broker does not answer.
    pub async fn log_in_at(&self, user: &TestUser, index: usize) -> anyhow::Result<Api> {
        let only =
            || Brokers::new(vec![self.brokers[index].url.clone()], &self.trust()?).context("TLS");
        let mut secret = OneSecret(Zeroizing::new(user.password.clone()));
        let login = only()?.login(&user.name, &mut secret).await?;
        Ok(Api::new(only()?, login.token))
    }

    /// Starts a broker's process, whether or not it will be able to serve.
    ///
    /// # Errors
    /// When it runs already, or cannot be started.
    pub fn launch_broker(&mut self, index: usize) -> anyhow::Result<()> {
        self.brokers[index].process.start()
    }

    /// What `abide ha` says on a broker's host: its exit code, and its words.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn ha(&self, index: usize, arguments: &[&str]) -> anyhow::Result<(i32, String)> {
        let config = self.brokers[index].config();
        let mut command = tokio::process::Command::new(&self.options.binaries.abide);
        command.arg("ha").args(arguments).arg("--config").arg(config).kill_on_drop(true);
        let output = command.output().await?;
        let words = [output.stdout, output.stderr].concat();
        let code = output.status.code().context("it was killed")?;
        Ok((code, String::from_utf8(words)?.trim().to_owned()))
    }

    /// Makes one more broker, lets it join as an operator would, and starts it.
    ///
    /// # Errors
    /// When no token is given, the join is refused, or the broker does not come up.
    pub async fn add_broker(&mut self, index: u8) -> anyhow::Result<()> {
        let token = self.broker_token()?;
        let at = self.broker().agent_address.clone();
        let entry = Entry::Joins { at: &at, token: &token };
        let broker = make_broker(&self.options, &self.dir, index, &entry)?;
        self.brokers.push(broker);
        self.start_broker(self.brokers.len() - 1).await
    }

    /// By the command line, as the administrator, on a computer that knows nothing.
    fn broker_token(&self) -> anyhow::Result<String> {
        let home = self.dir.join("admin");
        let url = self.broker().url.to_string();
        let ca = self.trust()?.fingerprint().map(|it| it.to_string());
        let name = &self.admin.name;
        let mut login = vec!["login", "--broker", &url, "--username", name, "--answers-stdin"];
        login.extend(ca.as_ref().map(|ca| ["--trust", ca]).into_iter().flatten());
        let abide = &self.options.binaries.abide;
        run_at(&home, abide, &login, &self.admin.password)?;
        let token = run_at(&home, abide, &["cluster", "token", "broker"], "")?;
        Ok(token.trim().to_owned())
    }

    /// Starts a broker; returns when it can serve a login.
    ///
    /// # Errors
    /// When it does not come up; its last words are in the error.
    pub async fn start_broker(&mut self, index: usize) -> anyhow::Result<()> {
        let http = self.trust()?.client()?;
        let BrokerServer { name, url, process, .. } = &mut self.brokers[index];
        process.start()?;
        let url = format!("{url}/readyz");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ready = http.get(&url).timeout(Duration::from_secs(2)).send().await;
            if ready.is_ok_and(|response| response.status().is_success()) {
                return Ok(());
            }
            let running = process.is_running();
            if !running || Instant::now() > deadline {
                bail!("{name} is not ready; it said last:\n{}", process.last_words());
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Has a broker's next start make the lost table anew, as an operator would.
    ///
    /// # Errors
    /// When `abide broker recover` refuses.
    pub fn prepare_recovery(&self, index: usize) -> anyhow::Result<()> {
        let config = self.brokers[index].config();
        let arguments = ["broker", "recover", "--config", text(&config)?];
        run(&[], &self.options.binaries.abide, &arguments, "").map(drop)
    }

    /// Starts an agent's daemon; returns when it is started, which is before any broker hears it.
    ///
    /// # Errors
    /// When it runs already, or cannot be started.
    pub fn start_agent(&mut self, index: usize) -> anyhow::Result<()> {
        self.agents[index].process.start()
    }

    /// Returns when brokers hear every agent whose daemon runs.
    ///
    /// # Errors
    /// When they do not in time; the missing agents' last words are in the error.
    pub async fn until_agents_are_heard(&mut self, admin: &Api) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let heard = admin.agents().await?.agents;
            let missing = self.agents.iter_mut().find(|agent| {
                let is_heard = heard.iter().any(|it| it.name == agent.name && it.reachable);
                !is_heard && agent.process.pid().is_some()
            });
            let Some(missing) = missing else {
                return Ok(());
            };
            if !missing.process.is_running() || Instant::now() > deadline {
                let words = missing.process.last_words();
                bail!("{} is not heard; it said last:\n{words}", missing.name);
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// The servers, by name, that have ended or were started again since the last look, without a call
    /// of this cluster's.
    pub fn turns(&mut self) -> Vec<(String, Turn)> {
        let brokers = self.brokers.iter_mut().map(|it| (&it.name, &mut it.process));
        let agents = self.agents.iter_mut().map(|it| (&it.name, &mut it.process));
        let turns = brokers.chain(agents);
        turns.filter_map(|(name, process)| Some((name.clone(), process.look()?))).collect()
    }

    /// Kills servers of this cluster that a person started by hand, on the same configurations.
    fn stop_strangers(&self) {
        for pid in process::running_with_argument_below(&self.dir) {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                // It may have ended meanwhile.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }

    fn write_user(&self, user: &TestUser, more: &[&str]) -> anyhow::Result<()> {
        let file = self.users_file();
        let mut arguments = vec!["user", "add", &user.name, "--password-stdin", "--file"];
        arguments.push(text(&file)?);
        arguments.extend(more);
        run(&[], &self.options.binaries.abide, &arguments, &user.password).map(drop)
    }

    /// Makes an agent and lets it join; starts nothing.
    async fn add_agent(&mut self, admin: &Api, index: u8) -> anyhow::Result<()> {
        let mut agent = make_agent(&self.options, &self.dir, index)?;
        let token = admin.join_token(abide_api::JoinRole::Agent, None).await?.token;
        let config = agent.config();
        let join = ["agent", "join", "--config", text(&config)?, "--broker"];
        let rest = [self.broker().agent_address.as_str(), "--token-file", "-"];
        let on_host = self.options.on(self.options.network.agent(index).ip());
        run(&on_host, &self.options.binaries.abide, &[&join[..], &rest].concat(), &token)?;
        agent.id = node_id(&agent.dir.join("identity"))?;
        self.agents.push(agent);
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for broker in &mut self.brokers {
            broker.process.stop(Signal::KILL);
        }
        for agent in &mut self.agents {
            agent.process.stop(Signal::KILL);
        }
        self.stop_strangers();
        // Each waits for its own processes to go.
        std::thread::scope(|scope| {
            for agent in &self.agents {
                let run_dir = agent.run_dir();
                for session in sessions::ids(&run_dir) {
                    let run_dir = run_dir.clone();
                    scope.spawn(move || sessions::remove(&run_dir, &session));
                }
            }
        });
        if std::thread::panicking() {
            for broker in &self.brokers {
                eprintln!("{} said last:\n{}", broker.name, broker.last_words());
            }
            for agent in &self.agents {
                eprintln!("{} said last:\n{}", agent.name, agent.last_words());
            }
        }
        // It was empty or missing before. Best effort: its owner sees what is left.
        let _ = abide_desktop::remove_tree(&self.dir);
    }
}

/// 22 hex digits, more than 80 random bits.
fn random_password() -> String {
    Uuid::new_v4().simple().to_string()[..22].to_owned()
}
