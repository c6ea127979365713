//! What the person at the terminal is told. The one line for programs, `Ready:`, goes to standard
//! output, everything else to standard error.

use std::io::{Write, stdout};

use abide_cluster::{BrokerServer, Cluster, Options, TestUser, Turn};

pub fn starting(options: &Options) {
    let (brokers, agents) = (count(options.brokers, "broker"), count(options.agents, "agent"));
    eprintln!("Starting {brokers} and {agents} …");
}

pub fn ready(cluster: &Cluster, user: &TestUser, leader: usize) -> std::io::Result<()> {
    let url = &cluster.broker().url;
    writeln!(stdout(), "Ready: {url}  user: {}  password: {}", user.name, user.password)?;
    eprintln!();
    let brokers = cluster.brokers().iter().enumerate();
    for (index, it) in brokers {
        let note = if index == leader { "  leads" } else { "" };
        server(&it.name, it.url.as_str(), it.pid(), note);
    }
    for it in cluster.agents() {
        server(&it.name, it.url.as_str(), it.pid(), "");
    }
    eprintln!("\n{}", what_to_try(&cluster.brokers()[leader], cluster.brokers().len()));
    let admin = cluster.admin();
    eprintln!("The administrator: {}, password {}", admin.name, admin.password);
    let dir = cluster.dir().display();
    eprintln!(
        "Everything lies in {dir}, with demo.json and the servers' logs. Ctrl-C ends it all, the \
         desktops too."
    );
    Ok(())
}

pub fn turn(name: &str, turn: &Turn) {
    match turn {
        Turn::Gone { start } => eprintln!("{name} is gone. Start it again: {start}"),
        Turn::Back { pid } => eprintln!("{name} is back, as process {pid}."),
    }
}

pub fn leads(broker: &BrokerServer) {
    eprintln!("{} leads now.", process(&broker.name, broker.pid()));
}

fn what_to_try(leader: &BrokerServer, brokers: usize) -> String {
    let pid = leader.pid().map(|pid| pid.to_string()).unwrap_or_default();
    match brokers {
        1 | 2 => format!("Desktops stay when a server dies. Try it: kill -9 {pid}"),
        _ => format!(
            "Log in at any broker. Any of them may die: desktops do not notice, logins go on. Try it \
             with the leader: kill -9 {pid}"
        ),
    }
}

fn server(name: &str, url: &str, pid: Option<u32>, note: &str) {
    let pid = pid.map(|pid| pid.to_string()).unwrap_or_default();
    eprintln!("  {name:<9}{url:<26}process {pid}{note}");
}

fn process(name: &str, pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("{name} (process {pid})"),
        None => name.to_owned(),
    }
}

fn count(many: u8, what: &str) -> String {
    let plural = if many == 1 { "" } else { "s" };
    format!("{many} {what}{plural}")
}
