//! For comparison: how long keepalived takes, as Debian has it, to move an address when the host
//! that holds it dies.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use abide_cluster::until;
use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::faults::Fault;
use crate::ip::ip;
use crate::network::{Host, Network};
use crate::world::ROOM;

/// The address that moves.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 200);
/// Whoever has the address answers here, if only by a refusal.
const PORT: u16 = 9;
const SOON: Duration = Duration::from_secs(30);

/// Two hosts with keepalived: adverts every second, all else as it comes.
pub struct Pair {
    daemons: Vec<(Host, Child)>,
}

impl Pair {
    /// Starts both on these hosts of the network; returns when the first holds the address.
    ///
    /// # Errors
    /// When keepalived is missing, or does not come up.
    pub async fn start(first: Host, second: Host) -> anyhow::Result<Self> {
        let mut pair = Self { daemons: Vec::new() };
        for host in [first, second] {
            // Killed, it leaves its address behind.
            ip(&format!("-n {} address flush to {ADDRESS} dev eth0", host.namespace()))?;
        }
        for (host, state, priority) in [(first, "MASTER", 150), (second, "BACKUP", 100)] {
            pair.daemons.push((host, daemon(host, state, priority)?));
        }
        until("keepalived holds its address", SOON, async || holds(first).then_some(())).await?;
        answers(ADDRESS).await?;
        Ok(pair)
    }

    /// The first host dies: its link is cut, its processes are killed. Gives the time until the
    /// address answers again.
    ///
    /// # Errors
    /// When it does not.
    pub async fn first_host_dies(mut self) -> anyhow::Result<Duration> {
        let (host, mut daemon) = self.daemons.remove(0);
        let began = Instant::now();
        let _cut = Fault::unplugged(host)?;
        kill(&mut daemon)?;
        answers(ADDRESS).await?;
        Ok(began.elapsed())
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for (_, daemon) in &mut self.daemons {
            // Gone with the world at the latest.
            let _ = kill(daemon);
        }
    }
}

fn daemon(host: Host, state: &str, priority: u8) -> anyhow::Result<Child> {
    let folder = PathBuf::from(ROOM).join(format!("keepalived-{}", host.number));
    std::fs::create_dir_all(&folder)?;
    let config = folder.join("keepalived.conf");
    let text = format!(
        "vrrp_instance desk {{\n state {state}\n interface eth0\n virtual_router_id 51\n priority \
         {priority}\n advert_int 1\n virtual_ipaddress {{\n {ADDRESS}/24\n }}\n}}\n"
    );
    std::fs::write(&config, text)?;
    let log = std::fs::File::create(folder.join("log"))?;
    let mut command = Command::new(Network::on());
    command.arg(host.namespace()).args(["keepalived", "--dont-fork", "--log-console", "--vrrp"]);
    command.arg("--use-file").arg(&config).arg("--pid").arg(pid(&folder, "main"));
    command.arg("--vrrp_pid").arg(pid(&folder, "vrrp"));
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
    command.spawn().context("cannot start keepalived; install Debian's package of that name")
}

/// Both of its processes at once: one whose parent dies goes in order, and takes its address along.
fn kill(daemon: &mut Child) -> anyhow::Result<()> {
    kill_process_group(Pid::from_child(daemon), Signal::KILL)?;
    daemon.wait()?;
    Ok(())
}

fn pid(folder: &Path, which: &str) -> PathBuf {
    folder.join(format!("{which}.pid"))
}

fn holds(host: Host) -> bool {
    let mut show = Command::new("ip");
    show.args(["-n", &host.namespace(), "-o", "address", "show", "dev", "eth0"]);
    let said = show.output().map(|it| it.stdout).unwrap_or_default();
    String::from_utf8_lossy(&said).contains(&ADDRESS.to_string())
}

/// Waits until somebody has the address. Each look gives up soon, so that none waits for TCP's own
/// second try.
///
/// # Errors
/// When nobody has it within half a minute.
pub async fn answers(address: Ipv4Addr) -> anyhow::Result<()> {
    let to = SocketAddr::new(address.into(), PORT);
    until("the address answers", SOON, async || {
        match timeout(Duration::from_millis(20), TcpStream::connect(to)).await {
            Ok(Ok(_)) => Some(()),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => Some(()),
            Ok(Err(_)) | Err(_) => None,
        }
    })
    .await
}
