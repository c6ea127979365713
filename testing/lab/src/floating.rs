//! The service address of the lab's brokers: how long until it answers again, and for how long two
//! hosts had it.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::network::{Host, PREFIX};
use crate::scenario::{Act, Who};

/// Where brokers serve people, at each of their addresses.
pub(crate) const PORT: u16 = 8443;
/// A look that is not answered by then is given up. On long lines one takes four round trips.
const GIVE_UP: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const MOST_LOOKS: usize = 100;
/// How often the hosts are asked for their addresses, and so how exactly the answer is known.
const ASK_EVERY: Duration = Duration::from_millis(50);

fn address() -> Ipv4Addr {
    let [a, b, c] = PREFIX;
    Ipv4Addr::new(a, b, c, 201)
}

/// What each broker's configuration says of it.
pub(crate) fn settings() -> String {
    format!("[service_address]\ninterface = \"eth0\"\naddresses = [\"{}\"]\n", address())
}

/// Watches the address from a fault on.
#[derive(Debug)]
pub(crate) struct Watch {
    answered: JoinHandle<anyhow::Result<Duration>>,
    shared: JoinHandle<Duration>,
    over: watch::Sender<bool>,
}

/// What was seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moved {
    /// From the fault until a broker that serves answered at the address.
    pub after: Duration,
    /// The longest time for which two hosts had it, as often as they were asked.
    pub shared: Duration,
}

impl Watch {
    /// Whether the address is to move when this is done.
    pub(crate) fn is_due(act: Act) -> bool {
        act.who() == Some(Who::Leader) && !act.is_between()
    }

    pub(crate) fn begin(fault: Instant, limit: Duration, brokers: Vec<Host>) -> Self {
        let over = watch::Sender::new(false);
        let is_over = over.subscribe();
        let shared = tokio::task::spawn_blocking(move || longest_shared(&brokers, &is_over));
        Self { answered: tokio::spawn(answers(fault, limit)), shared, over }
    }

    /// The last look; to be called when the fault is over.
    pub(crate) async fn finish(self) -> anyhow::Result<Moved> {
        let after = self.answered.await??;
        self.over.send_replace(true);
        Ok(Moved { after, shared: self.shared.await? })
    }
}

/// A broker that can serve a login answers, over a new connection. Looks overlap, so that one that went
/// to a host that is gone keeps none waiting.
async fn answers(fault: Instant, limit: Duration) -> anyhow::Result<Duration> {
    // Certificates are for the hosts' own addresses here.
    let client = reqwest::Client::builder()
        .danger_accept_invalid_certs(true)
        .pool_max_idle_per_host(0)
        .timeout(GIVE_UP)
        .build()?;
    let url = format!("https://{}:{PORT}/readyz", address());
    let (mut looks, mut ticks) = (JoinSet::new(), tokio::time::interval(LOOK_EVERY));
    while fault.elapsed() < limit {
        tokio::select! {
            _ = ticks.tick(), if looks.len() < MOST_LOOKS => {
                let look = client.get(&url).send();
                looks.spawn(async move { look.await?.error_for_status() });
            }
            Some(answer) = looks.join_next() => {
                if answer?.is_ok() {
                    return Ok(fault.elapsed());
                }
            }
        }
    }
    anyhow::bail!("the service address did not answer within {limit:?}")
}

fn longest_shared(brokers: &[Host], is_over: &watch::Receiver<bool>) -> Duration {
    let (mut longest, mut since) = (Duration::ZERO, None);
    // Its sender is gone when a round failed.
    while is_over.has_changed().is_ok() && !*is_over.borrow() {
        let holders = brokers.iter().filter(|host| holds(**host)).count();
        since = (holders > 1).then(|| since.unwrap_or_else(Instant::now));
        longest = longest.max(since.map_or(Duration::ZERO, |since| since.elapsed()));
        std::thread::sleep(ASK_EVERY);
    }
    longest
}

fn holds(host: Host) -> bool {
    let mut show = Command::new("ip");
    show.args(["-n", &host.namespace(), "-o", "address", "show", "dev", "eth0"]);
    let said = show.output().map(|it| it.stdout).unwrap_or_default();
    String::from_utf8_lossy(&said).contains(&format!(" {}/", address()))
}
