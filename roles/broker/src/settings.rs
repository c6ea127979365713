//! The broker's configuration: what `broker.toml` may say, checked.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use abide_address::ServiceAddress;
use abide_config::{BaseUrl, Problems, Table};
use abide_model::Timing;
use abide_pair::{Policy, Takeover};
use ipnet::IpNet;

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The log, the table's snapshots, the audit log.
    pub data_dir: PathBuf,
    /// The broker's keys and certificates. Outlives an emptied data folder.
    pub identity_dir: PathBuf,
    /// Where browsers reach this broker.
    pub public_url: BaseUrl,
    /// Where agents reach it, `host:port`.
    pub agent_address: String,
    /// For browsers and the command line.
    pub http: SocketAddr,
    /// For agents.
    pub agents: SocketAddr,
    /// How browsers are served.
    pub web_tls: WebTls,
    /// Whose word counts on where a request comes from (`X-Forwarded-For`).
    pub trusted_proxies: Vec<IpNet>,
    /// Who may log in.
    pub login: Login,
    /// How fast brokers notice and decide.
    pub timing: Timing,
    /// The floating IPs that the leader holds.
    pub service_address: Option<ServiceAddress>,
    /// Where the socket for the cluster manager's commands lies.
    pub run_dir: PathBuf,
    /// The other one of two brokers, between which a cluster manager decides.
    pub pair: Option<PairSettings>,
}

/// The other one of two brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairSettings {
    /// Where it listens for agents and brokers, `host:port`.
    pub peer: String,
    /// When this one goes on without it.
    pub policy: Policy,
}

/// How browsers are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebTls {
    /// Plain HTTP, on a loopback address.
    Off,
    /// With a certificate by the cluster's CA.
    Cluster,
    /// With the site's own certificate.
    Files {
        /// PEM, with its chain.
        certificate: PathBuf,
        /// PEM.
        key: PathBuf,
    },
}

/// Who may log in.
#[derive(Debug, Clone)]
pub struct Login {
    /// Who knows.
    pub backend: LoginBackend,
    /// How long a login lasts.
    pub token_lifetime: Duration,
}

/// Who knows the users.
#[derive(Debug, Clone)]
pub enum LoginBackend {
    /// A file of users and password hashes.
    UsersFile {
        /// The file.
        path: PathBuf,
    },
    /// PAM, in a helper process.
    Pam {
        /// The helper's socket.
        socket: PathBuf,
        /// The PAM service.
        service: String,
        /// Members of these groups administer the cluster.
        administrators: Vec<String>,
    },
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The settings of a configuration file's text; `path` is what problems name.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn settings_from(path: &Path, text: &str) -> Result<Settings, Problems> {
    abide_config::read(&path.display().to_string(), text, shape)
}

fn shape(root: &mut Table<'_>) -> Settings {
    let data_dir = root.path("data_dir").or("/var/lib/abide/broker".into());
    let identity_dir = root.path("identity_dir").or("/etc/abide/identity/broker".into());
    let public_url = root.base_url("public_url").required();
    let agent_address = root.string("agent_address").optional();
    let (http, agents) = {
        let mut listen = root.table("listen");
        let http = listen.socket_addr("http").or(SocketAddr::from(([0, 0, 0, 0], 443)));
        (http, listen.socket_addr("agents").or(SocketAddr::from(([0, 0, 0, 0], 7443))))
    };
    let web_tls = web_tls(&mut root.table("tls"), http, &public_url);
    let expected = "an IP address or a network such as \"10.0.0.0/8\"";
    let trusted_proxies = root.list("trusted_proxies", expected, network).or(Vec::new());
    let login = login(&mut root.table("login"));
    let timings = [("lan", Timing::Lan), ("slow", Timing::Slow)];
    let timing = root.table("cluster").choice("timing", &timings).or(Timing::Lan);
    let service_address = root.optional_table("service_address").map(service_address);
    let run_dir = root.path("run_dir").or("/run/abide/broker".into());
    let pair = root.optional_table("pair").map(pair);
    let agent_address =
        agent_address.unwrap_or_else(|| format!("{}:{}", public_url.host(), agents.port()));
    Settings {
        data_dir,
        identity_dir,
        public_url,
        agent_address,
        http,
        agents,
        web_tls,
        trusted_proxies,
        login,
        timing,
        service_address,
        run_dir,
        pair,
    }
}

fn pair(mut table: Table<'_>) -> PairSettings {
    let peer = table
        .parsed_with("peer", "a host and a port such as host2.example.org:7443", |text| {
            let (host, port) = text.rsplit_once(':')?;
            let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
            (!host.is_empty() && !host.contains('/') && is_port).then(|| text.to_owned())
        })
        .required();
    let takeovers = [("fenced", Takeover::Fenced), ("unfenced", Takeover::Unfenced)];
    let takeover = table.choice("takeover", &takeovers);
    let takeover = takeover.required_or(|| Takeover::Fenced);
    let peer_timeout = table.integer("peer_timeout_ms", 500..=60_000_u64).or(1_000);
    let peer_timeout = Duration::from_millis(peer_timeout);
    PairSettings { peer, policy: Policy { takeover, peer_timeout } }
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse().ok().map(|it: IpAddr| it.into()))
}

fn web_tls(table: &mut Table<'_>, http: SocketAddr, public_url: &BaseUrl) -> WebTls {
    let mode = table
        .choice("mode", &[("off", Mode::Off), ("cluster", Mode::Cluster), ("files", Mode::Files)])
        .or(Mode::Cluster);
    match mode {
        Mode::Off => {
            if !http.ip().is_loopback() {
                table.problem(
                    "tls.mode = \"off\" is for loopback addresses alone: listen.http is not one",
                );
            }
            if public_url.is_https() {
                table.problem("with tls.mode = \"off\", public_url should begin with http://");
            }
            WebTls::Off
        }
        Mode::Cluster => WebTls::Cluster,
        Mode::Files => WebTls::Files {
            certificate: table.path("certificate").required(),
            key: table.path("key").required(),
        },
    }
}

#[derive(Debug, Clone, Copy)]
enum Mode {
    Off,
    Cluster,
    Files,
}

fn login(table: &mut Table<'_>) -> Login {
    let is_pam = table.choice("backend", &[("pam", true), ("users-file", false)]).or(true);
    let backend = if is_pam {
        LoginBackend::Pam {
            socket: table.path("pam_socket").or("/run/abide/login.sock".into()),
            service: table.string("pam_service").or("abide".into()),
            administrators: table.strings("admin_groups").or(Vec::new()),
        }
    } else {
        LoginBackend::UsersFile {
            path: table.path("users_file").or("/etc/abide/users.toml".into()),
        }
    };
    let token_lifetime = table.duration("token_lifetime").or(DAY / 2);
    if token_lifetime < Duration::from_secs(60) || token_lifetime > 30 * DAY {
        table.problem("login.token_lifetime should be between 1 minute and 30 days");
    }
    Login { backend, token_lifetime }
}

fn service_address(mut table: Table<'_>) -> ServiceAddress {
    let interface = table
        .parsed_with("interface", "a network interface's name such as eth0", |text| {
            is_interface_name(text).then(|| text.to_owned())
        })
        .required();
    let expected = "an IP address of one host such as 192.0.2.10, without a prefix length";
    let addresses = table
        .list("addresses", expected, |text| text.parse().ok().filter(is_for_one_host))
        .required();
    if addresses.is_empty() {
        table.problem("service_address.addresses should name at least one address");
    }
    if (1..addresses.len()).any(|n| addresses[..n].contains(&addresses[n])) {
        table.problem("service_address.addresses names an address twice");
    }
    ServiceAddress { interface, addresses }
}

/// As the kernel sees it: at most 15 bytes, neither `/` nor `:` nor white space.
fn is_interface_name(text: &str) -> bool {
    let allowed = |letter: char| !letter.is_whitespace() && !matches!(letter, '/' | ':');
    (1..16).contains(&text.len()) && text.chars().all(allowed) && !matches!(text, "." | "..")
}

/// Whether clients on a network could reach one host by it.
fn is_for_one_host(address: &IpAddr) -> bool {
    let wrong = match address {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.to_ipv4_mapped().is_some(),
    };
    !wrong && !address.is_unspecified() && !address.is_loopback() && !address.is_multicast()
}

#[cfg(test)]
mod tests {
    use abide_config::Shipped;

    use super::*;

    #[test]
    fn one_line_is_a_whole_configuration() {
        let settings =
            settings_from(Path::new("broker.toml"), "public_url = 'https://desk.example.org'")
                .unwrap();
        assert_eq!(settings.agent_address, "desk.example.org:7443");
        assert_eq!(settings.web_tls, WebTls::Cluster);
        assert!(settings.trusted_proxies.is_empty());
        assert_eq!(settings.timing, Timing::Lan);
    }

    #[test]
    fn the_shipped_file_shows_every_key_and_its_default() {
        let shipped = Shipped(include_str!("../../../packaging/etc/broker.toml"));
        let other = [
            "[tls]\nmode = 'files'",
            "[login]\nbackend = 'users-file'",
            "[service_address]",
            "[pair]",
        ];
        let gaps = shipped.gaps(&other, |root| drop(shape(root)));
        assert_eq!(gaps, [""; 0]);

        let read = |text: String| {
            let text = format!("public_url = 'https://desk.example.org'\n{text}");
            format!("{:?}", settings_from(Path::new("broker.toml"), &text).unwrap())
        };
        let examples =
            ["public_url", "agent_address", "tls.certificate", "tls.key", "login.users_file"];
        let is_default = |key: &str| {
            !examples.contains(&key)
                && !key.starts_with("service_address")
                && !key.starts_with("pair")
        };
        assert_eq!(read(shipped.said(is_default)), read(shipped.0.to_owned()));
    }

    #[test]
    fn there_are_two_timing_profiles() {
        let with = |timing: &str| {
            let text = format!("public_url = 'https://desk.example'\n[cluster]\ntiming = {timing}");
            settings_from(Path::new("broker.toml"), &text).map(|it| it.timing)
        };
        assert_eq!(with("'lan'").unwrap(), Timing::Lan);
        assert_eq!(with("'slow'").unwrap(), Timing::Slow);
        for bad in ["'fast'", "''", "1"] {
            let problems = with(bad).unwrap_err().to_string();
            assert!(problems.contains("broker.toml:3: cluster.timing"), "{problems}");
            assert!(problems.contains("\"lan\" or \"slow\""), "{problems}");
        }
    }

    #[test]
    fn proxies_are_addresses_or_networks() {
        let with = |proxies: &str| {
            let text = format!("public_url = 'https://desk.example'\ntrusted_proxies = {proxies}");
            settings_from(Path::new("broker.toml"), &text)
        };
        let known = with("['10.0.0.0/8', '192.0.2.1', 'fd00::1']").unwrap().trusted_proxies;
        let known: Vec<_> = known.iter().map(ToString::to_string).collect();
        assert_eq!(known, ["10.0.0.0/8", "192.0.2.1/32", "fd00::1/128"]);
        for bad in ["['proxy.example']", "['10.0.0.0/33']", "['10.0.0.1:80']", "'10.0.0.1'"] {
            let problems = with(bad).unwrap_err().to_string();
            assert!(problems.contains("broker.toml:2: trusted_proxies"), "{problems}");
        }
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let text = "public_url = 'desk'\ndatadir = '/x'\n[listen]\nhttp = '0.0.0.0:80'\n\
                    [tls]\nmode = 'off'\n[login]\ntoken_lifetime = '1s'\n";
        let problems = settings_from(Path::new("broker.toml"), text).unwrap_err().to_string();
        for part in ["broker.toml:1: public_url", "broker.toml:2: datadir", "loopback", "lifetime"]
        {
            assert!(problems.contains(part), "{part} is not in:\n{problems}");
        }
    }

    #[test]
    fn the_service_address_is_addresses_of_one_host_on_an_interface() {
        let read = |table: &str| {
            let text =
                format!("public_url = 'https://desk.example.org'\n[service_address]\n{table}");
            settings_from(Path::new("broker.toml"), &text).map(|it| it.service_address.unwrap())
        };
        let wanted =
            read("interface = 'eth0'\naddresses = ['192.0.2.10', '2001:db8::10']").unwrap();
        assert_eq!(wanted.interface, "eth0");
        assert_eq!(wanted.addresses.len(), 2);
        for (table, part) in [
            ("interface = 'eth0'", "addresses: missing"),
            ("addresses = ['192.0.2.10']", "interface: missing"),
            ("interface = 'an interface'\naddresses = ['192.0.2.10']", "such as eth0"),
            ("interface = 'eth0'\naddresses = []", "at least one"),
            ("interface = 'eth0'\naddresses = ['192.0.2.10/24']", "without a prefix length"),
            ("interface = 'eth0'\naddresses = ['127.0.0.1']", "of one host"),
            ("interface = 'eth0'\naddresses = ['fe80::1']", "of one host"),
            ("interface = 'eth0'\naddresses = ['192.0.2.10', '192.0.2.10']", "twice"),
        ] {
            let problems = read(table).unwrap_err().to_string();
            assert!(problems.contains(part), "{table}: {part} is not in:\n{problems}");
        }
    }

    #[test]
    fn a_pair_says_how_it_takes_over() {
        let read = |table: &str| {
            let text = format!("public_url = 'https://desk.example.org'\n[pair]\n{table}");
            settings_from(Path::new("broker.toml"), &text).map(|it| it.pair.unwrap())
        };
        let pair = read("peer = 'host2:7443'\ntakeover = 'unfenced'").unwrap();
        assert_eq!(pair.peer, "host2:7443");
        assert_eq!(pair.policy.takeover, Takeover::Unfenced);
        assert_eq!(pair.policy.peer_timeout, Duration::from_secs(1));
        let pair = read("peer = '[fd00::2]:7443'\ntakeover = 'fenced'\npeer_timeout_ms = 2500");
        assert_eq!(pair.unwrap().policy.peer_timeout, Duration::from_millis(2500));
        for (table, part) in [
            ("peer = 'host2:7443'", "takeover: missing"),
            ("takeover = 'fenced'", "peer: missing"),
            ("peer = 'host2:7443'\ntakeover = 'maybe'", "\"fenced\" or \"unfenced\""),
            ("peer = 'https://host2:7443'\ntakeover = 'fenced'", "a host and a port"),
            ("peer = 'host2'\ntakeover = 'fenced'", "a host and a port"),
            ("peer = 'host2:7443'\ntakeover = 'fenced'\npeer_timeout_ms = 10", "from 500"),
        ] {
            let problems = read(table).unwrap_err().to_string();
            assert!(problems.contains(part), "{table}: {part} is not in:\n{problems}");
        }
    }
}
