//! Hosts as network namespaces on a bridge, made by the test. They end with the test's thread, however
//! that ends: their names lie in a private /run, and their processes die with their parent.

use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde_json::Value;

use crate::{Holder, ServiceAddress, prepare, release};

pub const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 10));
pub const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10));

/// Says in the child what to do, and on which interface.
const TASK: &str = "ABIDE_ADDRESS_TEST_TASK";
const INTERFACE: &str = "ABIDE_ADDRESS_TEST_INTERFACE";

/// As a leader's: what one permission is good for.
const LEASE: Duration = Duration::from_millis(300);

/// Some hosts, and a client: the test itself, on the same network at `br0`.
pub struct Net(());

impl Net {
    /// `None`, and says so, without the rights for it.
    pub fn new(hosts: &[&str]) -> Option<Self> {
        if !geteuid().is_root() {
            eprintln!("SKIPPED: only root can make network namespaces; nothing was tested here");
            return None;
        }
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).unwrap();
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none).unwrap();
        std::fs::create_dir("/run/netns").unwrap();
        ip("link add br0 type bridge mcast_snooping 0");
        ip("address add 192.0.2.1/24 dev br0");
        ip("address add 2001:db8::1/64 dev br0 nodad");
        ip("link set br0 up");
        for (host, number) in hosts.iter().zip(2..) {
            ip(&format!("netns add {host}"));
            ip(&format!("link add to-{host} master br0 type veth peer name eth0 netns {host}"));
            ip(&format!("link set to-{host} up"));
            ip(&format!("-n {host} link set lo up"));
            ip(&format!("-n {host} address add 192.0.2.{number}/24 dev eth0"));
            ip(&format!("-n {host} address add 2001:db8::{number}/64 dev eth0 nodad"));
            ip(&format!("-n {host} link set eth0 up"));
        }
        Some(Self(()))
    }

    /// Which Ethernet address the client has in its cache for this one.
    pub fn neighbour(&self, address: IpAddr) -> Option<String> {
        let found = json(&format!("-j neighbour show {address} dev br0"));
        found[0]["lladdr"].as_str().map(str::to_owned)
    }

    /// The same, after the client has forgotten it and asks everybody who has the address.
    pub fn asks_for(&self, address: IpAddr) -> Option<String> {
        ip(&format!("neighbour flush to {address} dev br0"));
        self.answers(address).then(|| self.neighbour(address)).flatten()
    }

    /// Whether the address answers the client.
    pub fn answers(&self, address: IpAddr) -> bool {
        let to = address.to_string();
        let mut ping = Command::new("ping");
        ping.args(["-c", "1", "-W", "1", &to]).stdout(Stdio::null()).status().unwrap().success()
    }
}

/// One address of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct On {
    pub address: IpAddr,
    pub prefix: u64,
    /// Seconds.
    pub valid: u64,
    /// Seconds.
    pub preferred: u64,
}

/// What a host has at `eth0`, link-local addresses apart.
pub fn addresses(host: &str) -> Vec<On> {
    let found = json(&format!("-n {host} -j address show dev eth0 scope global"));
    let number = |value: &Value| value.as_u64().unwrap();
    let all = found.as_array().into_iter().flatten().filter_map(|it| it["addr_info"].as_array());
    all.flatten()
        .filter(|it| it["local"].is_string())
        .map(|it| On {
            address: it["local"].as_str().unwrap().parse().unwrap(),
            prefix: number(&it["prefixlen"]),
            valid: number(&it["valid_life_time"]),
            preferred: number(&it["preferred_life_time"]),
        })
        .collect()
}

/// Whether a host has both service addresses; `None` if only one.
pub fn has_both(host: &str) -> Option<bool> {
    let found = addresses(host);
    let has = |address| found.iter().any(|it| it.address == address);
    (has(V4) == has(V6)).then_some(has(V4))
}

pub fn mac(host: &str) -> String {
    json(&format!("-n {host} -j link show dev eth0"))[0]["address"].as_str().unwrap().to_owned()
}

pub fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(arguments: &str) -> Value {
    serde_json::from_str(&ip(arguments)).unwrap_or_default()
}

/// How long it took until `what` held.
pub fn until(what: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(20), "it never came about");
        std::thread::sleep(Duration::from_millis(5));
    }
    start.elapsed()
}

/// A process with a [`Holder`] on a host.
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// One that holds the addresses when it is told to.
    pub fn holder(host: &str) -> Self {
        let mut this = Self::new(host, &[], "hold", "eth0");
        assert_eq!(this.says(), "ready");
        this
    }

    /// One whose first words are its whole work; `with` are more arguments of setpriv.
    pub fn new(host: &str, with: &[&str], task: &str, interface: &str) -> Self {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", host, "setpriv", "--pdeathsig", "KILL"]).args(with);
        command.arg(std::env::current_exe().unwrap());
        command.args(["--exact", "tests::hosts::child", "--nocapture"]);
        command.env(TASK, task).env(INTERFACE, interface);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    /// What it says next.
    pub fn says(&mut self) -> String {
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            if let Some((_, said)) = line.trim_end().split_once("child says: ") {
                return said.to_owned();
            }
            line.clear();
        }
        panic!("it ended without a word")
    }

    /// Lets it hold the addresses, or no more.
    pub fn may_hold(&mut self, may: bool) {
        writeln!(self.input.as_mut().unwrap(), "{may}").unwrap();
    }

    /// Stops it in order; it has removed its addresses when this returns.
    pub fn stop(&mut self) {
        self.input = None;
        assert_eq!(self.says(), "stopped");
    }

    pub fn signal(&mut self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What runs on a host.
#[test]
fn child() {
    let Ok(task) = std::env::var(TASK) else {
        return;
    };
    let interface = std::env::var(INTERFACE).unwrap();
    let wanted = ServiceAddress { interface, addresses: vec![V4, V6] };
    if task == "release" {
        return println!("child says: {:?}", release(&wanted).unwrap());
    }
    let place = match prepare(wanted) {
        Ok(place) => place,
        Err(cause) => {
            let because = std::error::Error::source(&cause).map(ToString::to_string);
            return println!("child says: {cause}: {}", because.unwrap_or_default());
        }
    };
    let may = Arc::new(AtomicBool::new(false));
    let asked = may.clone();
    let left = move || if asked.load(Ordering::Relaxed) { LEASE } else { Duration::ZERO };
    let holder = Holder::start(place, left).unwrap();
    println!("child says: ready");
    for line in std::io::stdin().lines() {
        may.store(line.unwrap() == "true", Ordering::Relaxed);
    }
    drop(holder);
    println!("child says: stopped");
}
