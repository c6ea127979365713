//! A pair under Pacemaker and Corosync, with fencing, set up as docs/pacemaker.md says.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use abide_api::{Session, SessionState};
use abide_client::{Api, WishKey};
use abide_cluster::until;
use abide_hosts::fencing::PowerSwitch;
use abide_hosts::site::{Plan, Site, add_person, start};
use abide_hosts::{Host, Hosts, Person, package, tell};
use abide_lab::faults::Fault;
use abide_lab::probe::{Try, probe};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

const PLAN: Plan<'_> =
    Plan { brokers: &["h1", "h2"], agents: &["h1", "h2", "h3"], pair: Some("fenced") };
/// Where people go.
const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 200);
/// An address that is a resource by itself: how fast the manager is without Abide.
const ALONE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 201);
const PORT: u16 = 443;
/// What Abide may add to the manager's own time, where rounds are played by hand.
const BOUND: Duration = Duration::from_millis(500);
/// The same for a single round beside other tests: every step of Pacemaker is a few processes of this busy
/// machine. A start that waits for a dead host takes longer.
const BOUND_WHILE_BUSY: Duration = Duration::from_secs(2);
/// Elections, probes and fencing of a cluster take their time.
const PATIENCE: Duration = Duration::from_secs(180);
const FENCE_AGENT: &str = include_str!("fence_lab");
/// How many rounds; one unless told.
const ROUNDS: &str = "ABIDE_ROUNDS";

/// Step 3 and 4 of the page; the fence agent is the lab's.
const CLUSTER: &[&str] = &[
    "pcs host auth h1 h2 -u hacluster -p lab",
    "pcs cluster setup abide h1 addr=10.77.0.1 h2 addr=10.77.0.2",
    "pcs cluster start --all --wait=120",
    "pcs cluster enable --all",
    "pcs stonith create fence-h1 fence_lab plug=h1 pcmk_host_list=h1 pcmk_delay_base=3s \
     pcmk_reboot_action=off",
    "pcs stonith create fence-h2 fence_lab plug=h2 pcmk_host_list=h2 pcmk_reboot_action=off",
    "pcs constraint location fence-h1 avoids h1",
    "pcs constraint location fence-h2 avoids h2",
];
/// Step 5.
const PAIR: &[&str] = &[
    "pcs resource create abide ocf:abide:abide \
     op start timeout=90s op stop timeout=60s op promote timeout=60s op demote timeout=30s \
     op notify timeout=30s \
     op monitor role=Promoted interval=5s timeout=30s \
     op monitor role=Unpromoted interval=10s timeout=30s \
     promotable promoted-max=1 clone-max=2 notify=true",
    "pcs resource create abide-address ocf:heartbeat:IPaddr2 ip=10.77.0.200 cidr_netmask=32 \
     op monitor interval=10s",
    "pcs constraint colocation add abide-address with Promoted abide-clone INFINITY",
    "pcs constraint order promote abide-clone then start abide-address",
    "pcs resource defaults update resource-stickiness=1",
];
const FAILBACK: &str =
    "pcs constraint location abide-clone rule role=Promoted score=2000 '#uname' eq h1";
/// What the manager's own time is measured with. All hosts see the machine's load, by which Pacemaker
/// would do one thing after the other that it else does at once.
const MEASURE: &[&str] = &[
    "crm_attribute --type crm_config --name load-threshold --update 1000%",
    "pcs resource create alone ocf:heartbeat:IPaddr2 ip=10.77.0.201 cidr_netmask=32 \
     op monitor interval=10s",
    "pcs constraint location alone prefers h1=2000",
];

/// The pair at work, with somebody to work on it.
struct Pair {
    lab: Arc<Hosts>,
    site: Site,
    switch: PowerSwitch,
    ada: Person,
}

async fn pair() -> anyhow::Result<Pair> {
    let lab = Arc::new(Hosts::boot(["h1", "h2", "h3"])?);
    lab.install(&package()?)?;
    let site = Site::found_behind(&lab, PLAN, SERVICE).await?;
    let switch = PowerSwitch::over(&lab)?;
    let ada = Person::new("ada", "correct horse");
    lab.on_each(|host| add_person(host, &ada))?;
    for host in both(&lab) {
        host.run("systemctl disable --now abide-broker")?;
        host.write("/usr/sbin/fence_lab", FENCE_AGENT)?;
        host.run("chmod 755 /usr/sbin/fence_lab; systemctl enable --now pcsd")?;
        host.feed("chpasswd", "hacluster:lab\n")?;
        host.run("pcs cluster destroy")?;
    }
    for words in CLUSTER.iter().chain(PAIR).chain(MEASURE) {
        lab.host("h1").run(words)?;
    }
    let pair = Pair { lab, site, switch, ada };
    pair.until_whole().await?;
    // Pacemaker syncs its own; the rest would be on disk within half a minute.
    pair.lab.on_each(|host| host.run("sync").map(drop))?;
    Ok(pair)
}

fn both(lab: &Hosts) -> [&Host; 2] {
    ["h1", "h2"].map(|name| lab.host(name))
}

/// The host whose instance is promoted, as this one sees it.
fn promoted(host: &Host) -> Option<String> {
    let said = host.run("crm_resource --resource abide-clone --locate").ok()?;
    let line = said.lines().find(|line| line.trim_end().ends_with("Promoted"))?;
    Some(line.split("running on:").nth(1)?.split_whitespace().next()?.to_owned())
}

/// How `abide ha status` exits on this host: docs/pair.md has the numbers.
fn status(host: &Host) -> Option<i32> {
    host.try_run("abide ha status", "").ok()?.status.code()
}

/// An answer to a connection that was begun after the fault, whatever it is: how long after.
async fn answers(address: Ipv4Addr, fault: Instant) -> anyhow::Result<Duration> {
    let (mut looks, mut ticks) = (JoinSet::new(), tokio::time::interval(Duration::from_millis(10)));
    loop {
        anyhow::ensure!(fault.elapsed() < PATIENCE, "{address} does not answer");
        tokio::select! {
            _ = ticks.tick() => {
                let look = TcpStream::connect((address, PORT));
                looks.spawn(tokio::time::timeout(Duration::from_secs(1), look));
            }
            Some(Ok(Ok(answer))) = looks.join_next() => {
                let refused = std::io::ErrorKind::ConnectionRefused;
                if answer.map_or_else(|error| error.kind() == refused, |_| true) {
                    return Ok(fault.elapsed());
                }
            }
        }
    }
}

/// Starts desktops one after the other, until told to stop; every one that was acknowledged.
async fn work(api: Arc<Api>, stop: watch::Receiver<bool>) -> anyhow::Result<Vec<Session>> {
    let mut acknowledged = Vec::new();
    while !*stop.borrow() {
        acknowledged.push(start(&api).await?.session);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Ok(acknowledged)
}

/// What one round measured.
struct Round {
    /// From the fault until the manager's own address answered.
    manager: Duration,
    /// Until a start was acknowledged.
    start: Duration,
}

impl Pair {
    async fn log_in(&self) -> anyhow::Result<Arc<Api>> {
        Ok(Arc::new(self.site.log_in(&mut self.ada.clone()).await?))
    }

    /// Both are there and in sync, one is promoted, people are served.
    async fn until_whole(&self) -> anyhow::Result<()> {
        let whole = async || {
            let promoted = both(&self.lab).map(promoted);
            let mut all = both(&self.lab).map(status);
            all.sort();
            (promoted[0].is_some() && promoted[0] == promoted[1] && all == [Some(0), Some(10)])
                .then_some(())
        };
        until("both brokers are there, and one is promoted", PATIENCE, whole).await
    }

    async fn until_promoted(&self, name: &str, as_seen_by: &str) -> anyhow::Result<()> {
        let host = self.lab.host(as_seen_by);
        let is_it = async || (promoted(host).as_deref() == Some(name)).then_some(());
        until(&format!("{name} is promoted"), PATIENCE, is_it).await
    }

    /// Host 1 loses its power while somebody works: how long until others serve, and that nothing is lost.
    async fn host_1_falls(&self) -> anyhow::Result<Round> {
        let (working, stop) = self.begin_work().await?;
        // It has no connection to the host that falls.
        let fresh = self.log_in().await?;
        self.lab.host("h1").power_off()?;
        let fault = Instant::now();
        let alone = tokio::spawn(answers(ALONE, fault));
        answers(SERVICE, fault).await?;
        let found = probe(fresh, Try::Start, fault, PATIENCE).await?;
        anyhow::ensure!(found.failed.is_empty(), "starts failed: {:?}", found.failed);
        let round = Round { manager: alone.await??, start: found.after };
        stop.send_replace(true);
        self.are_all_known(working.await??, "h1").await?;
        Ok(round)
    }

    /// Host 2, the standby, loses its power: nobody but Pacemaker tells host 1 that it may go on.
    /// How long after the proof a start was acknowledged.
    async fn host_2_falls(&self) -> anyhow::Result<Duration> {
        let fresh = self.log_in().await?;
        self.lab.host("h2").power_off()?;
        let fenced = async || self.switch.answered_for("h2");
        let proof = until("host 2 is fenced", PATIENCE, fenced).await?;
        let found = probe(fresh, Try::Start, proof, PATIENCE).await?;
        assert_eq!(found.failed, Vec::<String>::new());
        self.are_all_known(Vec::new(), "h2").await?;
        self.lab.host("h2").boot()?;
        self.until_whole().await?;
        Ok(found.after)
    }

    /// Somebody works, and has been acknowledged something.
    async fn begin_work(
        &self,
    ) -> anyhow::Result<(JoinHandle<anyhow::Result<Vec<Session>>>, watch::Sender<bool>)> {
        let api = self.log_in().await?;
        start(&api).await?;
        let stop = watch::Sender::new(false);
        let working = tokio::spawn(work(api.clone(), stop.subscribe()));
        let some = async || (api.sessions().await.ok()?.sessions.len() > 3).then_some(());
        until("some desktops run", PATIENCE, some).await?;
        Ok((working, stop))
    }

    /// Every session that was acknowledged is known; those on living hosts can be come back to. Ends them.
    async fn are_all_known(&self, acknowledged: Vec<Session>, dead: &str) -> anyhow::Result<()> {
        let api = self.log_in().await?;
        let all = api.sessions().await?.sessions;
        for session in acknowledged {
            let now = all.iter().find(|it| it.id == session.id);
            let now = now.unwrap_or_else(|| panic!("{} was acknowledged, and is lost", session.id));
            if now.agent_name != dead {
                assert_eq!(now.state, SessionState::Running, "{now:?}");
                api.connect(&now.id, &WishKey::random()).await?;
            }
        }
        for session in all.iter().filter(|it| it.agent_name != dead) {
            api.end(&session.id).await?;
        }
        Ok(())
    }
}

#[test]
fn its_resource_agent_passes_ocf_tester() {
    tell(its_resource_agent_passes_ocf_tester, async {
        let lab = Hosts::boot(["h1", "h2"])?;
        lab.install(&package()?)?;
        Site::found(&lab, Plan { agents: &["h2"], ..PLAN }).await?;
        lab.host("h1").run("systemctl disable --now abide-broker")?;
        let said = lab.host("h1").run(
            "ocf-tester -n abide -o config=/etc/abide/broker.toml \
             /usr/lib/ocf/resource.d/abide/abide 2>&1",
        )?;
        println!("{said}");
        assert!(said.contains("passed all tests"), "{said}");
        Ok(())
    });
}

fn rounds() -> usize {
    std::env::var(ROUNDS).ok().and_then(|it| it.parse().ok()).unwrap_or(1)
}

/// The middle one and the greatest, in milliseconds.
fn told(all: &mut [u128]) -> String {
    all.sort_unstable();
    format!("{} / {}", all[all.len() / 2], all[all.len() - 1])
}

#[test]
#[ignore = "by hand: minutes a round, and its end, after host 1 has returned, was not seen yet"]
fn a_fenced_pair_under_pacemaker_takes_over_as_fast_as_an_address_does() {
    tell(a_fenced_pair_under_pacemaker_takes_over_as_fast_as_an_address_does, async {
        let pair = pair().await?;
        let (mut manager, mut starts, mut more) = (Vec::new(), Vec::new(), Vec::new());
        pair.lab.host("h1").run(FAILBACK)?;
        for number in 1..=rounds() {
            pair.until_promoted("h1", "h2").await?;
            pair.until_whole().await?;
            let round = pair.host_1_falls().await?;
            let added = round.start.saturating_sub(round.manager);
            println!(
                "round {number}: address {} ms, start {} ms, more {} ms, lost 0",
                round.manager.as_millis(),
                round.start.as_millis(),
                added.as_millis()
            );
            manager.push(round.manager.as_millis());
            starts.push(round.start.as_millis());
            more.push(added.as_millis());
            pair.lab.host("h1").boot()?;
        }
        let (manager, starts) = (told(&mut manager), told(&mut starts));
        println!("p50 / max: address {manager}, start {starts}, more {}", told(&mut more));
        let most = more.iter().max().copied().unwrap_or_default();
        let bound = if rounds() > 1 { BOUND } else { BOUND_WHILE_BUSY };
        assert!(most < bound.as_millis(), "{most} ms more than the manager's own time");
        pair.until_promoted("h1", "h2").await?;
        pair.until_whole().await?;
        let h1 = pair.lab.host("h1");
        h1.run("pcs node standby h1 --wait=60")?;
        h1.run("rm -r /var/lib/abide/broker/*; pcs node unstandby h1")?;
        pair.until_promoted("h1", "h2").await?;
        pair.until_whole().await?;
        let after = pair.host_2_falls().await?;
        println!("the standby dies: start {} ms after it was fenced", after.as_millis());
        pair.switch.finish()
    });
}

#[test]
fn of_a_pair_under_pacemaker_that_is_cut_in_two_exactly_one_host_survives() {
    tell(of_a_pair_under_pacemaker_that_is_cut_in_two_exactly_one_host_survives, async {
        let pair = pair().await?;
        let (working, stop) = pair.begin_work().await?;
        let [h1, h2] = both(&pair.lab);
        let cut = Fault::between(h1.place, h2.place)?;
        let one_is_off = async || (h1.is_on() != h2.is_on()).then_some(());
        until("one is fenced", PATIENCE, one_is_off).await?;
        let (living, dead) = if h1.is_on() { (h1, h2) } else { (h2, h1) };
        pair.until_promoted(&living.name, &living.name).await?;
        let api = pair.log_in().await?;
        start(&api).await?;
        assert_eq!(status(living), Some(0));
        stop.send_replace(true);
        pair.are_all_known(working.await??, &dead.name).await?;
        assert!(living.is_on() && !dead.is_on());
        drop(cut);
        dead.boot()?;
        pair.until_whole().await?;
        pair.switch.finish()
    });
}
