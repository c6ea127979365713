//! `abide-demo`: a whole cluster on this machine, until Ctrl-C. `cargo xtask demo` builds and runs it.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use abide_cluster::{Cluster, Network, Options, Profile, TestUser};
use anyhow::Context;
use clap::Parser;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// How often it is looked whether a server has gone.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A whole cluster on this machine, until Ctrl-C
#[derive(Debug, Parser)]
struct Args {
    /// How many brokers
    #[arg(long)]
    brokers: u8,
    /// How many agents
    #[arg(long)]
    agents: u8,
    /// An empty or missing folder for everything; a temporary one if absent
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The port of every server
    #[arg(long)]
    base_port: u16,
    /// Open no browser
    #[arg(long)]
    no_open: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    show(&Args::parse()).await
}

async fn show(args: &Args) -> anyhow::Result<()> {
    // From here on Ctrl-C ends in order, also while the cluster is being started.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let told = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::pin!(told);
    let options = options(args)?;
    eprintln!("Starting {} broker(s) and {} agent(s) …", args.brokers, args.agents);
    let mut cluster = tokio::select! {
        started = Cluster::start(options) => started?,
        () = &mut told => return Ok(()),
    };
    let user = cluster.add_user("ada")?;
    write_json(&cluster, &user)?;
    tell(&cluster, &user)?;
    if !args.no_open {
        open_browser(cluster.broker().url.as_str());
    }
    tokio::select! {
        () = watch(&mut cluster) => {}
        () = &mut told => {}
    }
    eprintln!("Ending the cluster and its desktops …");
    drop(cluster);
    Ok(())
}

fn options(args: &Args) -> anyhow::Result<Options> {
    Ok(Options {
        brokers: args.brokers,
        agents: args.agents,
        dir: args.dir.clone(),
        network: Network::plain(args.base_port),
        profiles: vec![Profile::xfce(), Profile::plain()],
        ..Options::new()?
    })
}

fn write_json(cluster: &Cluster, user: &TestUser) -> anyhow::Result<()> {
    let (brokers, agents) = (cluster.brokers().iter(), cluster.agents().iter());
    let account = |user: &TestUser| json!({"name": user.name, "password": user.password});
    let demo = json!({
        "brokers": brokers
            .map(|broker| json!({"id": broker.id, "url": broker.url.as_str(), "pid": broker.pid()}))
            .collect::<Vec<_>>(),
        "agents": agents
            .map(|agent| json!({"id": agent.id, "url": agent.url.as_str(), "pid": agent.pid()}))
            .collect::<Vec<_>>(),
        "users": [account(user), account(cluster.admin())],
        // Nothing is signed by it that a browser sees: the demo serves plain HTTP on loopback.
        "ca": null,
    });
    let path = cluster.dir().join("demo.json");
    // It holds passwords.
    let text = serde_json::to_string_pretty(&demo)? + "\n";
    write_private(&path, &text).with_context(|| format!("cannot write {}", path.display()))
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.create_new(true).write(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

fn tell(cluster: &Cluster, user: &TestUser) -> std::io::Result<()> {
    let url = &cluster.broker().url;
    let admin = cluster.admin();
    let dir = cluster.dir().display();
    writeln!(stdout(), "Ready: {url}  user: {}  password: {}", user.name, user.password)?;
    eprintln!(
        "The administrator: {}, password {}\nEverything lies in {dir}, with demo.json and the \
         servers' logs. Ctrl-C ends it all, the desktops too.",
        admin.name, admin.password
    );
    if let Some(pid) = cluster.broker().pid() {
        eprintln!("Desktops stay when a server dies. Try it: kill -9 {pid}");
    }
    Ok(())
}

/// Tells which servers have gone, and how they are started again. Does not start them: to see what
/// goes on without them is what the demo is for.
async fn watch(cluster: &mut Cluster) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        look.tick().await;
        for gone in cluster.newly_gone() {
            eprintln!("{} is gone. Start it again: {}", gone.name, gone.start);
        }
    }
}

fn open_browser(url: &str) {
    let display = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|it| std::env::var_os(it).is_some());
    if !display {
        return;
    }
    let mut open = Command::new("xdg-open");
    let open = open.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Where there is no such program, the link is on the screen already.
    let _ = open.spawn();
}
