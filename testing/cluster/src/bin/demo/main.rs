//! `abide-demo`: a whole cluster on this machine, until Ctrl-C. `cargo xtask demo` builds and runs it.

mod record;
mod screen;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use abide_client::Api;
use abide_cluster::{Cluster, Network, Options, Profile, TestUser, Turn};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often it is looked whether a server has gone, and who leads.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// With no leader there is no answer: the next look asks again.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

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
async fn main() -> ExitCode {
    match show(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
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
    screen::starting(&options);
    let mut cluster = tokio::select! {
        started = Cluster::start(options) => started?,
        () = &mut told => return Ok(()),
    };
    let user = cluster.add_user("ada")?;
    let api = cluster.log_in(cluster.admin()).await?;
    let leader = cluster.leader(&api).await?;
    record::write(&cluster, &user)?;
    screen::ready(&cluster, &user, leader)?;
    if !args.no_open {
        open_browser(cluster.broker().url.as_str());
    }
    tokio::select! {
        outcome = watch(&mut cluster, &user, &api, leader) => outcome?,
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
        tell: |line| eprintln!("  {line}"),
        ..Options::new()?
    })
}

/// Tells which servers have gone, how they are started again, and who leads. Does not start them: to
/// see what goes on without them is what the demo is for.
async fn watch(
    cluster: &mut Cluster,
    user: &TestUser,
    api: &Api,
    mut leader: usize,
) -> anyhow::Result<()> {
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let turns = cluster.turns();
        for (name, turn) in &turns {
            screen::turn(name, turn);
        }
        if turns.iter().any(|(_, turn)| matches!(turn, Turn::Back { .. })) {
            record::write(cluster, user)?;
        }
        if let Ok(Ok(now)) = timeout(ANSWER_WITHIN, cluster.leader(api)).await
            && now != leader
        {
            leader = now;
            screen::leads(&cluster.brokers()[leader]);
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
