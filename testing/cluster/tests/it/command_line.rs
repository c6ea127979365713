//! `abide` as a person and a script use it.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use abide_cluster::{Binaries, Cluster, Options, TestUser, WebTls, until};
use serde_json::Value;
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(20);

/// A computer of somebody.
pub struct Computer {
    home: TempDir,
}

impl Computer {
    pub fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn run_with(&self, input: &str, arguments: &[&str]) -> Output {
        self.run_in(&[], input, arguments)
    }

    /// With these variables in the environment.
    pub fn run_in(&self, variables: &[(&str, &str)], input: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(Binaries::beside_this_program().unwrap().abide);
        command.args(arguments).env("HOME", self.home.path());
        for name in ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "DISPLAY", "WAYLAND_DISPLAY", "VISUAL"] {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that reads nothing may be gone before.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_with("", arguments)
    }

    pub fn log_in(&self, cluster: &Cluster, user: &TestUser) {
        let url = cluster.broker().url.to_string();
        let login = ["login", "--broker", &url, "--username", &user.name, "--password-stdin"];
        succeeded(&self.run_with(&user.password, &login));
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_slice(&succeeded(&self.run(arguments)).stdout).unwrap()
    }
}

pub fn succeeded(output: &Output) -> &Output {
    assert!(output.status.success(), "{output:?}");
    output
}

/// It failed with this code, and said this.
pub fn failed(output: &Output, code: i32, said: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(said), "{said:?} is not in: {text}");
}

async fn cluster(tls: WebTls) -> Cluster {
    let options = Options { agents: 1, tls, ..Options::new().unwrap() };
    Cluster::start(options).await.unwrap()
}

#[tokio::test]
async fn a_person_logs_in_opens_lists_and_ends_a_desktop() {
    let cluster = cluster(WebTls::Off).await;
    let user = cluster.add_user("ada").unwrap();
    let computer = Computer::new();
    failed(&computer.run(&["session", "list"]), 3, "abide login");
    computer.log_in(&cluster, &user);

    // Without a viewer: a link, with no way in by itself.
    let opened = computer.run(&["connect"]);
    let link = String::from_utf8(succeeded(&opened).stdout.clone()).unwrap();
    let session = &computer.json(&["session", "list", "--json"])["sessions"][0];
    let id = session["id"].as_str().unwrap();
    assert_eq!(link.trim(), format!("{}/#session={id}", cluster.broker().url));
    assert_eq!(session["state"], "running");

    // Back to the same one; another only when asked.
    succeeded(&computer.run(&["connect"]));
    assert_eq!(
        computer.json(&["session", "list", "--json"])["sessions"].as_array().unwrap().len(),
        1
    );
    succeeded(&computer.run(&["connect", "--new"]));
    let sessions = computer.json(&["session", "list", "--json"]);
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 2);

    let table = computer.run(&["session", "list"]);
    let table = String::from_utf8(succeeded(&table).stdout.clone()).unwrap();
    assert!(table.contains(id) && table.contains("running"), "{table}");

    succeeded(&computer.run(&["session", "end", id]));
    until("the session has ended", DEADLINE, async || {
        let sessions = computer.json(&["session", "list", "--json"]);
        let sessions = sessions["sessions"].as_array().unwrap();
        sessions.iter().find(|it| it["id"] == id && it["state"] == "ended").map(drop)
    })
    .await
    .unwrap();
    failed(&computer.run(&["connect", id]), 6, "abide connect --new");
    failed(&computer.run(&["session", "end", "no-such"]), 1, "abide session list");
    succeeded(&computer.run(&["logout"]));
    failed(&computer.run(&["connect"]), 3, "abide login");
}

#[tokio::test]
async fn administrators_see_the_cluster_and_others_are_refused() {
    let cluster = cluster(WebTls::Off).await;
    let (admin, other) = (Computer::new(), Computer::new());
    admin.log_in(&cluster, cluster.admin());
    other.log_in(&cluster, &cluster.add_user("ada").unwrap());

    let agents = admin.json(&["agent", "list", "--json"]);
    assert_eq!(agents["agents"][0]["name"], "agent1");
    let status = admin.json(&["cluster", "status", "--json"]);
    assert_eq!(status["leader"], status["brokers"][0]["id"]);
    let table = admin.run(&["cluster", "status"]);
    let table = String::from_utf8(succeeded(&table).stdout.clone()).unwrap();
    assert!(
        table.contains("leader") && table.contains("Can lose none: it is the only broker"),
        "{table}"
    );
    // One broker cannot be spared, not even for a drill.
    let config = cluster.broker().config();
    let drill = ["cluster", "drill", "leader-kill", "--yes", "--config", config.to_str().unwrap()];
    failed(&admin.run(&drill), 1, "can lose no broker now");
    failed(&admin.run(&["cluster", "remove", "nobody", "--yes"]), 1, "abide cluster status");
    let token = admin.run(&["cluster", "token", "agent", "--valid-for", "5m"]);
    assert!(succeeded(&token).stdout.starts_with(b"abide1."));
    failed(&other.run(&["cluster", "token", "agent"]), 1, "administrators");
}

#[tokio::test]
async fn what_goes_wrong_is_told_by_an_exit_code_and_what_to_do() {
    let mut cluster = cluster(WebTls::Off).await;
    let user = cluster.add_user("ada").unwrap();
    let url = cluster.broker().url.to_string();
    let computer = Computer::new();
    failed(&computer.run(&["login"]), 2, "--broker");
    failed(&computer.run(&["login", "--broker", "http://192.0.2.1"]), 1, "https://");
    let login = ["login", "--broker", &url, "--username", "ada", "--password-stdin"];
    failed(&computer.run_with("wrong", &login), 3, "refused");
    failed(&computer.run(&["connect", "--listen", "0.0.0.0:5901"]), 3, "abide login");
    computer.log_in(&cluster, &user);
    failed(&computer.run(&["connect", "--listen", "0.0.0.0:5901"]), 1, "127.0.0.1");
    let config = computer.home.path().join("broker.toml");
    std::fs::write(&config, "public_url = 'desk'\ndata = 1\n").unwrap();
    let broker = computer.run(&["broker", "--config", config.to_str().unwrap()]);
    failed(&broker, 2, "broker.toml:1: public_url");
    failed(&broker, 2, "broker.toml:2: data");

    let folder = computer.home.path().join(".config/abide");
    let mode = std::fs::metadata(folder.join("login.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    cluster.kill_broker(0);
    failed(&computer.run(&["session", "list"]), 4, "no broker answers");
}

#[tokio::test]
async fn an_unknown_ca_is_trusted_only_by_its_fingerprint() {
    let cluster = cluster(WebTls::Cluster).await;
    let user = cluster.add_user("ada").unwrap();
    let url = cluster.broker().url.to_string();
    let computer = Computer::new();
    let login = ["login", "--broker", &url, "--username", "ada", "--password-stdin"];
    let refused = computer.run_with(&user.password, &login);
    failed(&refused, 3, "SHA-256");
    let right = cluster.trust().unwrap().fingerprint().unwrap().to_string();
    failed(&refused, 3, &right);
    let wrong = right.replace(|c: char| c.is_ascii_digit(), "A");
    let with = |fingerprint: &str| {
        let login = [&login[..], &["--trust", fingerprint]].concat();
        computer.run_with(&user.password, &login)
    };
    failed(&with(&wrong), 3, "not trusted");
    succeeded(&with(&right));
    // From then on it is known, for the agents too.
    succeeded(&computer.run(&["connect"]));
    succeeded(&computer.run_with(&user.password, &login));
}
