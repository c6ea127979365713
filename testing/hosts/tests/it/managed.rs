//! What a pair under a cluster manager goes through, whichever manager that is.
//!
//! Three hosts: h1 and h2 are broker and agent, h3 is an agent; people come through the service
//! address alone. Host 1 loses its power in each round, and returns. `ABIDE_ROUNDS=10` plays so many
//! rounds. Where a manager's failback is switched on half-way, host 1 takes all back by itself from then on.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use abide_api::{SessionReply, SessionState};
use abide_client::{Api, LoggedIn, WishKey};
use abide_hosts::fencing::PowerSwitch;
use abide_hosts::site::{Plan, Site, add_person, start};
use abide_hosts::{Host, Hosts, Person, Takeover, package};
use abide_lab::viewer::Viewer;
use anyhow::{Context, ensure};
use zeroize::Zeroizing;

use crate::figures::{Round, sum_up};

const HOSTS: &[&str] = &["h1", "h2", "h3"];
/// Desktops there are looked at all the time.
const LOOKED_AT: [&str; 2] = ["h2", "h3"];
/// Where people find Abide.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 200);
/// What a build for tests may add on a machine that others use: 500 ms are promised, and
/// docs/measurements/managers.md says what is measured. It finds what costs an agent's silence, 2.2 s.
pub const WHILE_BUSY: Duration = Duration::from_millis(1_500);
/// Without fencing a standby that is gone costs its silence.
const SILENCE: Duration = Duration::from_secs(1);
/// The picture moves every second.
const UNDISTURBED: Duration = Duration::from_secs(3);

/// A cluster manager, as far as the story needs it.
pub struct Manager {
    /// For the lines that are told.
    pub name: &'static str,
    /// When one of the pair goes on alone: "unfenced", or "fenced", for which it has a power switch.
    pub takeover: &'static str,
    /// Does what the manager's page says, on both hosts.
    pub set_up: fn(&Hosts) -> anyhow::Result<()>,
    /// An address that it moves without asking Abide.
    pub alone: Ipv4Addr,
    /// What people may wait for beyond its own time.
    pub beyond: Duration,
    /// Words for a host that has come back, after which its broker has started on an empty folder.
    pub empty: &'static str,
    /// Words that succeed on a host that has come back as soon as it could take over.
    pub is_fit: &'static str,
    /// Words for a host that has it all, after which the other one has.
    pub leave: &'static str,
    /// Words for both hosts, which from their next boot on take back by themselves what is their own.
    pub fail_back: &'static str,
}

/// [`Manager::empty`] where systemd starts the broker.
pub const EMPTY: &str =
    "systemctl stop abide-broker; rm -r /var/lib/abide/broker/*; systemctl start abide-broker";

impl Manager {
    const fn plan(&self) -> Plan<'static> {
        Plan { brokers: &["h1", "h2"], agents: HOSTS, pair: Some(self.takeover) }
    }
}

/// The site in use.
pub struct Story<'a> {
    manager: &'a Manager,
    pub lab: Arc<Hosts>,
    site: Site,
    switch: Option<PowerSwitch>,
    people: usize,
    /// Acknowledged, and on no host that has fallen since.
    pub desktops: Vec<Desktop>,
    /// One for each host of [`LOOKED_AT`].
    viewers: Vec<Viewer>,
    /// Host 1 takes all back by itself.
    fails_back: bool,
}

/// Somebody's.
pub struct Desktop {
    pub api: Arc<Api>,
    pub token: Zeroizing<String>,
    pub reply: SessionReply,
}

impl Desktop {
    pub fn host(&self) -> &str {
        &self.reply.session.agent_name
    }
}

/// How many times host 1 loses power with its folder left alone; at least once in each way to return.
fn rounds() -> usize {
    std::env::var("ABIDE_ROUNDS").map_or(2, |number| number.parse().unwrap())
}

/// Host 1 loses power and returns, so many times, in the second half with a failback that was switched on, and
/// once with an empty folder. In between host 2, the standby, loses power, and reads its manager's
/// configuration anew.
pub async fn tell_of(manager: &Manager) -> anyhow::Result<()> {
    let mut story = Story::begin(manager).await?;
    let (all, by_itself) = (rounds(), rounds() / 2);
    let mut played = Vec::new();
    for number in 1..=all - by_itself {
        played.push(story.round(&format!("{number}"), false).await?);
    }
    let emptied = story.round("folder emptied", true).await?;
    for name in manager.plan().brokers {
        story.lab.host(name).run(manager.fail_back)?;
    }
    story.standby_dies().await.context("the standby dies")?;
    story.fails_back |= by_itself > 0;
    for number in all - by_itself + 1..=all {
        played.push(story.round(&format!("{number}, failback"), false).await?);
    }
    sum_up(manager.name, &played);
    for round in played.iter().chain([&emptied]) {
        let difference = round.took.beyond_with_start();
        assert!(difference <= manager.beyond, "{difference:?} beyond the manager's own time");
        assert_eq!(round.lost, 0, "acknowledged sessions are lost");
        assert!(round.gap < UNDISTURBED, "no picture for {:?}", round.gap);
    }
    story.finish()
}

impl<'a> Story<'a> {
    pub async fn begin(manager: &'a Manager) -> anyhow::Result<Self> {
        let lab = Arc::new(Hosts::boot(["h1", "h2", "h3"])?);
        lab.install(&package()?)?;
        let site = Site::found_behind(&lab, manager.plan(), ADDRESS).await?;
        let switch = match manager.takeover {
            "fenced" => Some(PowerSwitch::over(&lab)?),
            _ => None,
        };
        (manager.set_up)(&lab)?;
        // Half a minute later it would be on the disks anyway.
        lab.on_each(|host| host.run("sync").map(drop))?;
        let (desktops, viewers) = (Vec::new(), Vec::new());
        let (people, fails_back) = (0, false);
        let mut story = Self { manager, lab, site, switch, people, desktops, viewers, fails_back };
        serves(&story.lab, "h1").await?;
        for host in LOOKED_AT {
            let viewer = story.look_at(host).await?;
            story.viewers.push(viewer);
        }
        Ok(story)
    }

    /// Somebody who looks at a desktop there.
    async fn look_at(&mut self, host: &str) -> anyhow::Result<Viewer> {
        let Desktop { api, reply, .. } = self.desktop_on(host).await?;
        Viewer::attach(api.clone(), reply.clone()).await
    }

    /// Whoever the story's end is told to knows that no fencing failed.
    pub fn finish(self) -> anyhow::Result<()> {
        self.switch.map_or(Ok(()), PowerSwitch::finish)
    }

    /// Somebody new, who logs in through the service address.
    pub async fn person(&mut self) -> anyhow::Result<LoggedIn> {
        let mut person = Person::new(&format!("user{}", self.people), "correct horse");
        self.people += 1;
        self.lab.on_each(|host| add_person(host, &person))?;
        Ok(self.site.log_in_at(0, &mut person).await?)
    }

    /// The person of this token starts one.
    pub async fn start(&self, token: Zeroizing<String>) -> anyhow::Result<Desktop> {
        let reply = start(&self.site.anew(&token)?).await?;
        self.desktop(token, reply)
    }

    fn desktop(&self, token: Zeroizing<String>, reply: SessionReply) -> anyhow::Result<Desktop> {
        Ok(Desktop { api: Arc::new(self.site.anew(&token)?), token, reply })
    }

    /// One that is on this host. People come until there is one.
    async fn desktop_on(&mut self, host: &str) -> anyhow::Result<&Desktop> {
        for _ in 0..12 {
            if let Some(found) = self.desktops.iter().position(|it| it.host() == host) {
                return Ok(&self.desktops[found]);
            }
            let login = self.person().await?;
            self.desktops.push(self.start(login.token).await?);
        }
        anyhow::bail!("none of 12 desktops is on {host}")
    }

    /// A desktop on each host.
    pub async fn everywhere(&mut self) -> anyhow::Result<()> {
        for host in HOSTS {
            self.desktop_on(host).await?;
        }
        Ok(())
    }

    async fn round(&mut self, which: &str, emptied: bool) -> anyhow::Result<Round> {
        let began = Instant::now();
        let round = self.host_1_falls(emptied).await.with_context(|| format!("round {which}"))?;
        round.tell(self.manager.name, which);
        println!("{}: {which}: {} s in all", self.manager.name, began.elapsed().as_secs());
        Ok(round)
    }

    async fn host_1_falls(&mut self, emptied: bool) -> anyhow::Result<Round> {
        self.until_whole().await?;
        self.everywhere().await?;
        let starter = self.person().await?;
        self.gap()?;
        let cut = Instant::now();
        self.lab.host("h1").power_off()?;
        let addresses = [ADDRESS, self.manager.alone];
        let took = self.watch(&starter, "h1", addresses, cut).await?;
        ensure!(took.reply.session.state == SessionState::Running, "{:?}", took.reply);
        let mut known = Person::new("user0", "correct horse");
        self.site.log_in_at(0, &mut known).await.context("a login after the takeover")?;
        let lost = self.missing().await?;
        self.desktops.push(self.desktop(starter.token, took.reply.clone())?);
        self.enter_all_but("h1").await?;
        self.host_1_returns(emptied).await?;
        self.enter_all().await?;
        let gap = self.gap()?;
        Ok(Round { took, lost, gap })
    }

    /// How long until one who is back to a desktop on a living host, and `starter`, are served.
    async fn watch(
        &self,
        starter: &LoggedIn,
        dead: &str,
        addresses: [Ipv4Addr; 2],
        since: Instant,
    ) -> anyhow::Result<Takeover> {
        let mut living = self.desktops.iter().filter(|it| it.host() != dead);
        let Desktop { token, reply, .. } = living.next().context("no desktop is left")?;
        let back = (token, reply.session.id.as_str());
        Takeover::watch(&self.site, &starter.token, back, addresses, since).await
    }

    /// The longest time for which somebody saw no new picture since the last look.
    fn gap(&self) -> anyhow::Result<Duration> {
        let gaps = self.viewers.iter().map(Viewer::longest_gap);
        gaps.collect::<Result<Vec<_>, _>>()?.into_iter().max().context("nobody looks")
    }

    /// Both brokers are there, in sync.
    pub async fn until_in_sync(&self) -> anyhow::Result<()> {
        let in_sync = async || {
            let all = ["h1", "h2"].map(|name| status(self.lab.host(name)));
            matches!(all, [Some(0), Some(10)] | [Some(10), Some(0)]).then_some(())
        };
        self.lab.wait_for("both brokers are in sync", in_sync).await
    }

    /// And host 1 has all that the manager moves.
    async fn until_whole(&self) -> anyhow::Result<()> {
        self.until_in_sync().await?;
        let addresses = [ADDRESS, self.manager.alone];
        let has = |it: &Ipv4Addr| has_address(self.lab.host("h1"), *it);
        let all = async || addresses.iter().all(has).then_some(());
        self.lab.wait_for("host 1 has the addresses", all).await
    }

    /// It is brought up to date, and serves again.
    async fn host_1_returns(&self, emptied: bool) -> anyhow::Result<()> {
        let h1 = self.lab.host("h1");
        h1.boot()?;
        if emptied {
            h1.run(self.manager.empty)?;
        }
        let in_sync = async || matches!(status(h1), Some(0 | 10)).then_some(());
        self.lab.wait_for("host 1 is up to date", in_sync).await?;
        self.site.settle(&self.lab, self.manager.plan()).await?;
        if !self.fails_back {
            let is_fit = async || h1.run(self.manager.is_fit).ok();
            self.lab.wait_for("the manager could give it to host 1", is_fit).await?;
            ensure!(has_address(self.lab.host("h2"), ADDRESS), "host 1 has taken it back unasked");
            self.lab.host("h2").run(self.manager.leave)?;
        }
        serves(&self.lab, "h1").await
    }

    /// Writes go on without a word to host 1 but, where there is fencing, that it was done.
    async fn standby_dies(&mut self) -> anyhow::Result<()> {
        self.until_whole().await?;
        let starter = self.person().await?;
        self.gap()?;
        self.viewers.remove(0);
        let (mut since, mut most) = (Instant::now(), SILENCE + self.manager.beyond);
        self.lab.host("h2").power_off()?;
        if let Some(switch) = &self.switch {
            let fenced = async || switch.answered_for("h2");
            since = self.lab.wait_for("host 2 is fenced", fenced).await?;
            most = self.manager.beyond;
        }
        let took = self.watch(&starter, "h2", [ADDRESS; 2], since).await?;
        println!(
            "{}: the standby dies: connect {} ms, start {} ms",
            self.manager.name,
            took.connect.as_millis(),
            took.start.as_millis()
        );
        ensure!(took.start <= most, "the first start took {:?}", took.start);
        ensure!(self.missing().await? == 0, "acknowledged sessions are lost");
        self.desktops.push(self.desktop(starter.token, took.reply)?);
        self.enter_all_but("h2").await?;
        self.lab.host("h2").boot()?;
        self.until_whole().await?;
        ensure!(self.gap()? < UNDISTURBED, "the viewer was disturbed");
        let viewer = self.look_at("h2").await?;
        self.viewers.insert(0, viewer);
        Ok(())
    }

    /// How many of the acknowledged sessions nobody knows any more.
    pub async fn missing(&self) -> anyhow::Result<usize> {
        let mut missing = 0;
        for desktop in &self.desktops {
            let all = desktop.api.sessions().await?.sessions;
            missing += usize::from(!all.iter().any(|it| it.id == desktop.reply.session.id));
        }
        Ok(missing)
    }

    /// Every desktop lives and can be entered, those on this host apart, which are gone.
    pub async fn enter_all_but(&mut self, fallen: &str) -> anyhow::Result<()> {
        self.desktops.retain(|it| it.host() != fallen);
        self.enter_all().await
    }

    /// Every desktop lives and can be entered.
    async fn enter_all(&self) -> anyhow::Result<()> {
        for Desktop { api, reply, .. } in &self.desktops {
            let entered = api.connect(&reply.session.id, &WishKey::random()).await;
            let entered = entered.with_context(|| format!("into {:?}", reply.session))?;
            ensure!(entered.session.state == SessionState::Running, "{entered:?}");
        }
        Ok(())
    }
}

/// How `abide ha status` exits on this host: docs/pair.md has the numbers.
pub fn status(host: &Host) -> Option<i32> {
    host.try_run("abide ha status", "").ok()?.status.code()
}

/// Whether it holds this address.
pub fn has_address(host: &Host, address: Ipv4Addr) -> bool {
    host.run(&format!("ip address show dev eth0 | grep -w {address}")).is_ok()
}

/// Waits until this host is activated and has the address.
pub async fn serves(lab: &Hosts, host: &str) -> anyhow::Result<()> {
    let is_active = || lab.host(host).try_run("abide ha status", "").ok();
    let look = async || {
        let active = is_active()?.out.contains(" active ");
        (active && has_address(lab.host(host), ADDRESS)).then_some(())
    };
    lab.wait_for(&format!("{host} has the address and serves"), look).await
}
