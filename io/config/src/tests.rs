//! What a person is told, as tables of a file and its problems.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use crate::{Access, BaseUrl, Problems, ReadError, Table, read, read_file, replace_file};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Tls {
    Off,
    Own,
}

#[derive(Debug, PartialEq)]
struct Agent {
    name: String,
    data: PathBuf,
    public_url: BaseUrl,
    http: SocketAddr,
    tls: Tls,
    idle: Duration,
    weight: u32,
    rootless: bool,
    brokers: Vec<String>,
    profiles: Vec<(String, Vec<String>)>,
    pools: Vec<(String, Option<u8>)>,
}

fn agent(root: &mut Table<'_>) -> Agent {
    let mut listen = root.table("listen");
    Agent {
        name: root.string("name").or("here".into()),
        data: root.path("data").required(),
        public_url: root.base_url("public_url").required(),
        http: listen.socket_addr("http").required(),
        tls: listen.choice("tls", &[("off", Tls::Off), ("own", Tls::Own)]).or(Tls::Own),
        idle: listen.duration("idle").or(Duration::from_secs(60)),
        weight: root.integer("weight", 1..=100).or(1),
        rootless: root.boolean("rootless").or(false),
        brokers: root.strings("brokers").required(),
        profiles: root
            .tables("profile")
            .into_iter()
            .map(|mut p| (p.string("name").required(), p.strings("command").required()))
            .collect(),
        pools: root
            .named_tables("pool")
            .into_iter()
            .map(|(name, mut pool)| (name, pool.integer("most", 0..=9).optional()))
            .collect(),
    }
}

fn problems(text: &str) -> Problems {
    read("agent.toml", text, agent).unwrap_err()
}

const GOOD: &str = r#"
name = "desk-1"
data = "/var/lib/abide"
public_url = "https://desk-1.example.org/"
weight = 0x10
rootless = true
brokers = ["b1:7700", "b2:7700"]

[listen]
http = "[::]:443"
tls = "off"
idle = "1h 30m"

[[profile]]
name = "xfce"
command = ["startxfce4"]

[[profile]]
name = "xterm"
command = ["xterm", "-ls"]

[pool.lab]
most = 3

[pool.rest]
"#;

#[test]
fn a_right_file_gives_its_values_and_defaults() {
    let agent = read("agent.toml", GOOD, agent).unwrap();
    let want = Agent {
        name: "desk-1".into(),
        data: "/var/lib/abide".into(),
        public_url: "https://desk-1.example.org".parse().unwrap(),
        http: "[::]:443".parse().unwrap(),
        tls: Tls::Off,
        idle: Duration::from_secs(5400),
        weight: 16,
        rootless: true,
        brokers: vec!["b1:7700".into(), "b2:7700".into()],
        profiles: vec![
            ("xfce".into(), vec!["startxfce4".into()]),
            ("xterm".into(), vec!["xterm".into(), "-ls".into()]),
        ],
        pools: vec![("lab".into(), Some(3)), ("rest".into(), None)],
    };
    assert_eq!(agent, want);
}

#[test]
fn all_problems_are_told_at_once_with_line_key_and_what_would_be_right() {
    let text = r#"name = ""
data = "relative"
public_url = "ftp://x"
wieght = 3
rootless = "yes"
brokers = ["b1", 7, ""]
colour = 1979-05-27

[listen]
http = "foo"
tls = "maybe"
idle = 30
extra = { a = 1 }

[[profile]]
command = "xterm"

[pool]
lab = 3
"#;
    let want = r#"agent.toml:1: name: should be a text in quotes, found ""
agent.toml:2: data: should be an absolute path such as /var/lib/abide, found "relative"
agent.toml:3: public_url: should be a URL such as https://desk.example.org, found "ftp://x"
agent.toml:4: wieght: unknown key, did you mean "weight"?
agent.toml:5: rootless: should be true or false, found "yes"
agent.toml:6: brokers[2]: should be a text in quotes, found 7
agent.toml:6: brokers[3]: should be a text in quotes, found ""
agent.toml:7: colour: unknown key, should be one of: listen, name, data, public_url, weight, rootless, brokers, profile, pool
agent.toml:10: listen.http: should be an address such as 0.0.0.0:443, found "foo"
agent.toml:11: listen.tls: should be "off" or "own", found "maybe"
agent.toml:12: listen.idle: should be a duration such as "500ms", "30s" or "12h", found 30
agent.toml:13: listen.extra: unknown key, should be one of: http, tls, idle
agent.toml:15: profile[1].name: missing, should be a text in quotes
agent.toml:16: profile[1].command: should be a list, each a text in quotes, found "xterm"
agent.toml:19: pool.lab: should be a table, found 3"#;
    assert_eq!(problems(text).to_string(), want);
}

#[test]
fn a_missing_key_is_told_where_its_table_begins() {
    let text = "\n\n[listen]\ntls = \"own\"\n";
    let want = "\
agent.toml:1: brokers: missing, should be a list, each a text in quotes
agent.toml:1: data: missing, should be an absolute path such as /var/lib/abide
agent.toml:1: public_url: missing, should be a URL such as https://desk.example.org
agent.toml:3: listen.http: missing, should be an address such as 0.0.0.0:443";
    assert_eq!(problems(text).to_string(), want);
}

#[test]
fn bad_syntax_is_told_alone_with_its_lines() {
    let text = "name = \"a\nweight = 1\nweight = 2\n[listen\n";
    let all = problems(text);
    let lines: Vec<usize> = all.iter().map(|p| p.line).collect();
    assert!(lines.contains(&1) && lines.contains(&3) && lines.contains(&4), "{all}");
    assert!(all.iter().all(|p| p.text.starts_with("this is not TOML: ")), "{all}");
    assert_eq!(all.file(), "agent.toml");
}

#[test]
fn numbers_are_told_from_their_range() {
    for number in ["0", "101", "-1", "9999999999999999999999", "1.5"] {
        let text = GOOD.replace("0x10", number);
        let want =
            format!("agent.toml:5: weight: should be a number from 1 to 100, found {number}");
        assert_eq!(problems(&text).to_string(), want);
    }
}

#[test]
fn a_table_can_be_wrong_as_a_whole() {
    let text = "[listen]\nhttp = '1.2.3.4:5'\n[tls]\ncert = '/c'\n";
    let all = read("x", text, |root| {
        let listen = root.table("listen").socket_addr("http").required();
        let mut tls = root.optional_table("tls");
        if let Some(tls) = &mut tls {
            let cert = tls.path("cert").optional();
            if cert.is_some() != tls.path("key").optional().is_some() {
                tls.problem("cert and key go together");
            }
        }
        listen
    });
    assert_eq!(all.unwrap_err().to_string(), "x:3: tls: cert and key go together");
}

#[test]
fn base_urls_are_told_apart() {
    let url: BaseUrl = "https://Desk.example.org:443/".parse().unwrap();
    assert_eq!(url.as_str(), "https://desk.example.org");
    assert_eq!(url.origin(), "https://desk.example.org");
    assert_eq!((url.host().as_str(), url.port()), ("desk.example.org", 443));
    assert!(url.is_https() && !url.is_loopback());
    let url: BaseUrl = "http://127.0.0.7:8080/abide/".parse().unwrap();
    assert_eq!(url.to_string(), "http://127.0.0.7:8080/abide");
    assert_eq!(url.origin(), "http://127.0.0.7:8080");
    assert!(url.is_loopback() && !url.is_https());
    let url: BaseUrl = "http://[::1]".parse().unwrap();
    assert_eq!((url.host().as_str(), url.is_loopback()), ("::1", true));
    for bad in ["", "desk", "ftp://a", "http://u@a", "http://a/?q", "http://a/#f", "http:///"] {
        assert!(bad.parse::<BaseUrl>().is_err(), "{bad}");
    }
}

#[test]
fn a_file_is_read_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.toml");
    let unreadable = read_file(&path, agent).unwrap_err();
    assert!(matches!(&unreadable, ReadError::Unreadable { path: p, .. } if *p == path));
    std::fs::write(&path, GOOD).unwrap();
    assert_eq!(read_file(&path, agent).unwrap().weight, 16);
    std::fs::write(&path, "x = 1").unwrap();
    let problems = read_file(&path, agent).unwrap_err();
    assert!(problems.to_string().starts_with(&format!("{}:1: ", path.display())));
}

#[test]
fn a_file_is_replaced_as_a_whole_with_its_mode() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    for (content, access, mode) in
        [("one", Access::Everybody, 0o644), ("two", Access::Owner, 0o600)]
    {
        replace_file(&path, content.as_bytes(), access).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
    assert!(replace_file(&folder.path().join("none/key"), b"", Access::Owner).is_err());
}

#[test]
fn a_replaced_file_keeps_its_owner() {
    use std::os::unix::fs::{MetadataExt, chown};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.toml");
    replace_file(&path, b"one", Access::Owner).unwrap();
    // Only root can give files away; for others there is nothing to test.
    if chown(&path, Some(12_345), Some(54_321)).is_ok() {
        replace_file(&path, b"two", Access::Owner).unwrap();
        let meta = std::fs::metadata(&path).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (12_345, 54_321));
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(?s)([a-z\\[\\]=\"' .\n]|.){0,200}") {
        let _ = read("x", &text, agent);
    }
}
