//! What an agent is told by its configuration file.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use abide_config::{BaseUrl, Problems, Table};
use abide_launch::{MAX_SOCKET_PATH, SessionFolder};
use abide_model::{Label, ProfileName};
use uuid::Uuid;

/// A checked configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The agent's name for people; the host's by default.
    pub name: String,
    /// Where browsers reach this agent. No path.
    pub public_url: BaseUrl,
    /// This agent's share of new sessions against the others'; 1 to 1,000.
    pub weight: u32,
    /// How many sessions it takes at most.
    pub max_sessions: Option<u32>,
    /// What it has, for profiles that require it.
    pub labels: BTreeSet<Label>,
    /// Key, certificate and CA: what `abide agent join` made.
    pub identity_dir: PathBuf,
    /// The ledger, and in agent-user mode the people's homes.
    pub data_dir: PathBuf,
    /// The sessions' folders. Short, since socket paths are; best on a tmpfs.
    pub run_dir: PathBuf,
    /// Where the HTTP server listens.
    pub http: SocketAddr,
    /// How it is protected.
    pub tls: Tls,
    /// As whom desktops run.
    pub run_as: RunAs,
    /// The kinds of desktop on offer; the first is the default.
    pub profiles: Vec<Profile>,
    /// The display server and its usual size.
    pub display: Display,
    /// How long a pass lives after its last use.
    pub pass_lifetime: Duration,
    /// New sessions are refused when the data folder's disk has less than this left; bytes.
    pub least_free: u64,
    /// Between asking a session's programs to end and killing them.
    pub end_grace: Duration,
}

/// How the HTTP server is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Not at all; on loopback only.
    Off,
    /// By this node's certificate from the cluster's CA.
    Cluster,
    /// By the site's own certificate.
    Files {
        /// PEM, with its chain.
        certificate: PathBuf,
        /// PEM.
        key: PathBuf,
    },
}

/// As whom desktops run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunAs {
    /// As the people themselves, through the launcher.
    LoginUser {
        /// The launcher's socket. Under which PAM service it opens their sessions, root tells it.
        launcher: PathBuf,
    },
    /// All as the agent's own user; people are not kept apart.
    AgentUser {
        /// The `abide-keeper` to run.
        keeper: PathBuf,
    },
}

/// A kind of desktop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: ProfileName,
    /// For people.
    pub title: String,
    /// Program and arguments, run through Xsession and dbus-run-session.
    pub command: Vec<String>,
    /// The command is run as it is: one program, which needs neither.
    pub plain: bool,
    /// Added to the clean environment.
    pub environment: BTreeMap<String, String>,
}

/// The display server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Display {
    /// The Xvnc to run.
    pub program: PathBuf,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Bits a pixel.
    pub depth: u32,
}

/// The settings that a configuration file's `text` gives; `path` is what problems name.
///
/// # Errors
/// All problems of the file.
pub fn settings_from(path: &Path, text: &str) -> Result<Settings, Problems> {
    abide_config::read(&path.display().to_string(), text, settings)
}

fn settings(root: &mut Table<'_>) -> Settings {
    let name = root.string("name").or(host_name());
    let public_url = root.base_url("public_url").required();
    if !url::Url::parse(public_url.as_str()).is_ok_and(|url| url.path() == "/") {
        root.problem("public_url must have no path: an agent needs a host or port of its own");
    }
    let run_dir = root.path("run_dir").or("/run/abide/sessions".into());
    let excess = longest_socket_path(&run_dir).saturating_sub(MAX_SOCKET_PATH);
    if excess > 0 {
        root.problem(format!("run_dir is {excess} bytes too long for the sockets in it"));
    }
    let (http, tls) = listen(root, &public_url);
    Settings {
        name,
        public_url,
        weight: root.integer("weight", 1..=1000).or(1),
        max_sessions: root.integer("max_sessions", 1..=100_000).optional(),
        labels: labels(root),
        identity_dir: root.path("identity_dir").or("/etc/abide/identity/agent".into()),
        data_dir: root.path("data_dir").or("/var/lib/abide/agent".into()),
        run_dir,
        http,
        tls,
        run_as: run_as(root),
        profiles: profiles(root),
        display: display(root),
        pass_lifetime: root.duration("pass_lifetime").or(Duration::from_secs(12 * 3600)),
        least_free: u64::from(root.integer("least_free_mib", 0..=1_048_576u32).or(64)) << 20,
        end_grace: root.duration("end_grace").or(Duration::from_secs(5)),
    }
}

fn labels(root: &mut Table<'_>) -> BTreeSet<Label> {
    let labels = root.list("labels", "1 to 64 of a-z, 0-9, _ and -", |text| text.parse().ok());
    labels.or(Vec::new()).into_iter().collect()
}

fn listen(root: &mut Table<'_>, public_url: &BaseUrl) -> (SocketAddr, Tls) {
    let http = root.table("listen").socket_addr("http").or(SocketAddr::from(([0, 0, 0, 0], 443)));
    let mut table = root.table("tls");
    let modes = [("off", Mode::Off), ("cluster", Mode::Cluster), ("files", Mode::Files)];
    let tls = match table.choice("mode", &modes).or(Mode::Cluster) {
        Mode::Off => Tls::Off,
        Mode::Cluster => Tls::Cluster,
        Mode::Files => Tls::Files {
            certificate: table.path("certificate").required(),
            key: table.path("key").required(),
        },
    };
    if tls == Tls::Off && !(http.ip().is_loopback() && public_url.is_loopback()) {
        table.problem(
            "tls.mode = \"off\" is for loopback alone, with listen.http and public_url both there: \
             elsewhere passes would cross the network in the clear",
        );
    }
    if (tls == Tls::Off) == public_url.is_https() {
        let scheme = if tls == Tls::Off { "http" } else { "https" };
        table.problem(format!("with this tls.mode, public_url should begin with {scheme}://"));
    }
    (http, tls)
}

#[derive(Debug, Clone, Copy)]
enum Mode {
    Off,
    Cluster,
    Files,
}

fn run_as(root: &mut Table<'_>) -> RunAs {
    let kinds = [("login-user", "login-user"), ("agent-user", "agent-user")];
    let kind = root.choice("run_as", &kinds).required_or(|| "login-user");
    let keeper = root.path("keeper").or("/usr/lib/abide/abide-keeper".into());
    let launcher = root.path("launcher").or("/run/abide/launcher.sock".into());
    match kind {
        "agent-user" => RunAs::AgentUser { keeper },
        _ => RunAs::LoginUser { launcher },
    }
}

fn profiles(root: &mut Table<'_>) -> Vec<Profile> {
    let mut names = BTreeSet::new();
    let mut profiles = Vec::new();
    for mut table in root.tables("profile") {
        let expected = "1 to 64 of a-z, 0-9, _ and -";
        let name = table.parsed("name", expected).required_or(stand_in);
        let command = table.strings("command").required();
        if command.is_empty() {
            table.problem("command must name a program");
        }
        let plain = table.boolean("plain").or(false);
        let title = table.string("title").or(name.to_string());
        let pairs = table.list("environment", "a text such as \"NAME=value\"", |pair| {
            let (name, value) = pair.split_once('=')?;
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let ok = !name.is_empty() && name.chars().all(plain) && !value.contains('\0');
            ok.then(|| (name.to_owned(), value.to_owned()))
        });
        let environment = pairs.or(Vec::new()).into_iter().collect();
        if !names.insert(name.clone()) {
            table.problem(format!("there is a profile {name} already"));
        }
        profiles.push(Profile { name, title, command, plain, environment });
    }
    if names.is_empty() {
        root.problem("at least one [[profile]] is needed");
    }
    profiles
}

fn stand_in() -> ProfileName {
    "unnamed".parse().expect("it is a profile name")
}

fn display(root: &mut Table<'_>) -> Display {
    let mut table = root.table("display");
    Display {
        program: table.path("program").or("/usr/bin/Xvnc".into()),
        width: table.integer("width", 320..=16_384).or(1280),
        height: table.integer("height", 200..=16_384).or(800),
        depth: table.integer("depth", 16..=24).or(24),
    }
}

/// The length of the longest path of a socket below `run_dir`, bytes.
fn longest_socket_path(run_dir: &Path) -> usize {
    SessionFolder::new(run_dir.join(Uuid::nil().to_string())).longest_socket_path()
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use abide_config::Shipped;

    use super::*;

    const SMALL: &str = r#"
public_url = "http://127.0.0.7:8080"
run_as = "agent-user"
[listen]
http = "127.0.0.7:8080"
[tls]
mode = "off"
[[profile]]
name = "xfce"
command = ["startxfce4"]
environment = ["LANG=C.UTF-8"]
"#;

    fn problems(text: &str) -> String {
        settings_from(Path::new("agent.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn little_needs_to_be_said() {
        let settings = settings_from(Path::new("agent.toml"), SMALL).unwrap();
        assert_eq!(settings.pass_lifetime, Duration::from_secs(43_200));
        assert_eq!(settings.profiles[0].title, "xfce");
        assert_eq!(settings.profiles[0].environment["LANG"], "C.UTF-8");
    }

    #[test]
    fn the_shipped_file_shows_every_key_and_its_default() {
        let shipped = Shipped(include_str!("../../../packaging/etc/agent.toml"));
        let gaps = shipped.gaps(&["[tls]\nmode = 'files'"], |root| drop(super::settings(root)));
        assert_eq!(gaps, [""; 0]);

        let read = |text: String| {
            let text = format!("public_url = 'https://host1.example.org'\n{text}");
            settings_from(Path::new("agent.toml"), &text).unwrap()
        };
        let examples =
            ["public_url", "name", "max_sessions", "labels", "tls.certificate", "tls.key"];
        assert_eq!(read(shipped.said(|key| !examples.contains(&key))), read(shipped.0.to_owned()));
    }

    #[test]
    fn every_problem_is_told_with_its_line_and_key() {
        let text = problems(
            "public_url = 'http://desk.example/path'\nrun_as = 'root'\nwieght = 3\n\
             [tls]\nmode = 'off'\n[[profile]]\nname = 'A B'\ncommand = []\n",
        );
        for expected in [
            "public_url must have no path",
            "agent.toml:2: run_as: should be",
            "agent.toml:3: wieght: unknown key, did you mean \"weight\"?",
            "agent.toml:4: tls: tls.mode = \"off\" is for loopback alone",
            "agent.toml:7: profile[1].name: should be 1 to 64 of a-z, 0-9, _ and -",
            "command must name a program",
        ] {
            assert!(text.contains(expected), "{expected}\nis not in\n{text}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_at_once() {
        let long = format!("run_dir = '/{}'\n{SMALL}", "x".repeat(80));
        assert!(problems(&long).contains("bytes too long for the sockets"));
        let twice = format!("{SMALL}[[profile]]\nname = 'xfce'\ncommand = ['x']\n");
        assert!(problems(&twice).contains("there is a profile xfce already"));
        let none = SMALL.split("[[profile]]").next().unwrap();
        assert!(problems(none).contains("at least one [[profile]]"));
        let https = SMALL.replace("http://", "https://");
        assert!(problems(&https).contains("should begin with http://"));
    }
}
