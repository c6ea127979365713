//! The hosts of a pair under Heartbeat lose sight of each other, while both live.
//!
//! ```text
//!  1   h1 ─╳─ h2     host 1 is cut off from host 3 too: both go on, and both hold the address
//!        ╳   ╱
//!         h3
//!  2   h1 ─╳─ h2     host 3's agent hears both again, and obeys the higher claim alone
//!        ╲   ╱
//!         h3
//!  3   all hear all  the lower one gives way: one table with the sessions of both
//!
//!  4   h1 ─╳─ h2     host 3's agent has heard both all the time, and tells host 2 that host 1 went on:
//!        ╲   ╱       host 2 refuses, and its Heartbeat leaves the address alone
//!         h3
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use abide_api::{JoinRole, SessionReply, SessionState};
use abide_client::WishKey;
use abide_hosts::site::{AGENT, Plan, Site, add_person, page, start};
use abide_hosts::{Host, Hosts, Person, Way, package, tell};
use abide_lab::faults::Fault;
use abide_lab::viewer::Viewer;
use anyhow::{Context, ensure};

use crate::managed::{ADDRESS, has_address, serves, status};

const PLAN: Plan<'_> =
    Plan { brokers: &["h1", "h2"], agents: &["h1", "h2", "h3"], pair: Some("unfenced") };
const LEADER: i32 = 0;
const FOLLOWER: i32 = 10;
const STALE: i32 = 13;
/// A desktop starts within a second; one that waits for an agent that does not obey takes longer.
const AT_ONCE: Duration = Duration::from_secs(3);
/// The picture moves every second.
const UNDISTURBED: Duration = Duration::from_secs(3);

#[test]
fn a_pair_that_is_cut_in_two_under_heartbeat_comes_together_again() {
    tell(a_pair_that_is_cut_in_two_under_heartbeat_comes_together_again, async {
        let mut story = Story::begin().await?;
        story.both_go_on_and_meet_again().await?;
        story.an_agent_that_hears_both_lets_only_one_go_on().await
    });
}

struct Story {
    lab: Hosts,
    site: Site,
    /// Everybody, with a desktop that was acknowledged. The first one's is on host 3.
    desktops: Vec<(Person, SessionReply)>,
    /// Of that one.
    viewer: Viewer,
}

impl Story {
    async fn begin() -> anyhow::Result<Self> {
        let lab = Hosts::boot(["h1", "h2", "h3"])?;
        lab.install(&package()?)?;
        let site = Site::found_behind(&lab, PLAN, ADDRESS).await?;
        crate::heartbeat::set_up(&lab)?;
        serves(&lab, "h1").await?;
        let names = ["ada", "bob", "eve", "dan", "fay", "gus"];
        let people = names.map(|name| Person::new(name, "correct horse"));
        lab.on_each(|host| people.iter().try_for_each(|person| add_person(host, person)))?;
        let mut desktops = Vec::new();
        for mut person in people {
            let api = Arc::new(site.log_in(&mut person).await?);
            let reply = start(&api).await?;
            let is_it = reply.session.agent_name == "h3";
            desktops.push((person, reply.clone()));
            if is_it {
                desktops.reverse();
                let viewer = Viewer::attach(api, reply).await?;
                return Ok(Self { lab, site, desktops, viewer });
            }
        }
        anyhow::bail!("no desktop is on host 3")
    }

    async fn an_agent_that_hears_both_lets_only_one_go_on(&mut self) -> anyhow::Result<()> {
        let [h1, h2] = self.both();
        let cut = Fault::between(h1.place, h2.place)?;
        let journal = "journalctl -t abide-heartbeat | grep refused:";
        let refused = async || h2.run(journal).ok().filter(|_| status(h2) == Some(STALE));
        let words = self.lab.wait_for("host 2 is refused", refused).await?;
        println!("host 2's Heartbeat: {}", words.trim());
        let leaves = async || (!has_address(h2, ADDRESS)).then_some(());
        self.lab.wait_for("host 2 leaves the address alone", leaves).await?;
        ensure!(has_address(h1, ADDRESS) && status(h1) == Some(LEADER), "host 1 goes on");
        self.starts(0).await?;
        self.heal(cut).await?;
        self.is_undisturbed()
    }

    async fn both_go_on_and_meet_again(&mut self) -> anyhow::Result<()> {
        let [h1, h2] = self.both();
        let cut = Fault::between(h1.place, h2.place)?;
        let alone = Fault::between(h1.place, self.lab.host("h3").place)?;
        for host in [h1, h2] {
            let leads = async || (status(host) == Some(LEADER)).then_some(());
            self.lab.wait_for(&format!("{} goes on", host.name), leads).await?;
            serves(&self.lab, &host.name).await?;
        }
        let claims = (claim(h1)?, claim(h2)?);
        let (lower, higher) = if claims.0 < claims.1 { ("h1", "h2") } else { ("h2", "h1") };
        println!("host 1 goes on as {:?}, host 2 as {:?}", claims.0, claims.1);
        drop(alone);
        let hears_both = async || {
            let figures = page(self.lab.host("h3"), AGENT, "/metrics").ok()?;
            figures.contains("\nabide_agent_brokers_connected 2").then_some(())
        };
        self.lab.wait_for("host 3's agent hears both", hears_both).await?;

        let at_higher = self.people_come_to(higher).await?;
        // The first may come before host 3's agent has told its load, and until then others go before it.
        let on_h3 = at_higher.iter().any(|host| host == "h3");
        ensure!(on_h3, "the higher claim is obeyed: {at_higher:?}");
        let at_lower = self.people_come_to(lower).await?;
        ensure!(at_lower == [lower; 2], "only its own host's agent obeys the lower: {at_lower:?}");
        self.the_lower_side_changes_what_does_not_heal(lower).await?;
        let journal = "journalctl -u abide-agent | grep 'Command of a replaced leader refused'";
        let refused = async || self.lab.host("h3").run(journal).ok();
        let words = self.lab.wait_for("host 3's agent refuses the lower one", refused).await?;
        println!("host 3's agent: {}", words.lines().last().unwrap_or_default());

        self.heal(cut).await?;
        for host in self.both() {
            ensure!(claim(host)? == claims.0.max(claims.1), "{} obeys the higher claim", host.name);
        }
        let aside = self.lab.host(lower).run("abide ha aside")?;
        println!("{lower}, which gave way: {}", aside.trim());
        let (who, reply) = &self.desktops[0];
        let (who, session) = (&who.name, &reply.session.id);
        let ended = format!("session {session} of {who} was ended by {who}, and lives");
        for lost in ["a join token was made", &ended] {
            ensure!(aside.contains(lost), "{lost:?} is not listed: {aside}");
        }
        self.heartbeat_starts_anew().await?;
        self.all_live().await
    }

    /// Somebody who has a desktop on host 3 starts another, and so does somebody else: on which hosts.
    async fn people_come_to(&mut self, side: &str) -> anyhow::Result<Vec<String>> {
        let _way = Way::to(self.lab.host(side), ADDRESS)?;
        let mut hosts = Vec::new();
        for who in [0, 1] {
            hosts.push(self.starts(who).await.with_context(|| format!("at {side}"))?);
        }
        println!("who comes to {side} gets a desktop on {hosts:?}");
        Ok(hosts)
    }

    /// One more desktop for this one: on which host.
    async fn starts(&mut self, who: usize) -> anyhow::Result<String> {
        let mut person = self.desktops[who].0.clone();
        let api = self.site.log_in(&mut person).await?;
        let began = Instant::now();
        let reply = start(&api).await?;
        ensure!(began.elapsed() < AT_ONCE, "a start took {:?}", began.elapsed());
        let host = reply.session.agent_name.clone();
        self.desktops.push((person, reply));
        Ok(host)
    }

    /// A token to join with; and the end of a desktop whose agent does not obey.
    async fn the_lower_side_changes_what_does_not_heal(&self, lower: &str) -> anyhow::Result<()> {
        let _way = Way::to(self.lab.host(lower), ADDRESS)?;
        let mut admin = Person::new("admin", "the admin's password");
        self.site.log_in(&mut admin).await?.join_token(JoinRole::Agent, None).await?;
        let (person, reply) = &self.desktops[0];
        let api = self.site.log_in(&mut person.clone()).await?;
        Ok(api.end(&reply.session.id).await?)
    }

    /// Both hear one another again.
    async fn heal(&self, cut: Fault) -> anyhow::Result<()> {
        drop(cut);
        let healed = Instant::now();
        let one_table = async || {
            let mut both = self.both().map(status);
            both.sort_unstable();
            (both == [Some(LEADER), Some(FOLLOWER)]).then_some(())
        };
        self.lab.wait_for("one leads, and one follows", one_table).await?;
        println!("one table {} ms after the cut", healed.elapsed().as_millis());
        Ok(())
    }

    /// As it does after a partition, on both hosts; then one of them has the address.
    async fn heartbeat_starts_anew(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        for host in self.both() {
            let journal = "journalctl -t heartbeat | grep 'Performing heartbeat restart exec'";
            let anew = async || host.run(journal).ok();
            self.lab.wait_for("Heartbeat starts itself anew", anew).await?;
        }
        serves(&self.lab, "h1").await?;
        println!("the address is back {} ms later", began.elapsed().as_millis());
        self.site.settle(&self.lab, PLAN).await
    }

    /// Nobody has lost anything.
    async fn all_live(&self) -> anyhow::Result<()> {
        for (person, reply) in &self.desktops {
            let api = self.site.log_in(&mut person.clone()).await?;
            let all = api.sessions().await?.sessions;
            let now = all.iter().find(|it| it.id == reply.session.id);
            let now = now.with_context(|| format!("{} is lost", reply.session.id))?;
            ensure!(now.state == SessionState::Running && now.reachable, "{now:?}");
            api.connect(&now.id, &WishKey::random()).await?;
        }
        self.is_undisturbed()
    }

    fn is_undisturbed(&self) -> anyhow::Result<()> {
        let gap = self.viewer.longest_gap()?;
        println!("the longest time without a picture: {} ms", gap.as_millis());
        ensure!(gap < UNDISTURBED, "a viewer was disturbed: {gap:?}");
        Ok(())
    }

    fn both(&self) -> [&Host; 2] {
        ["h1", "h2"].map(|name| self.lab.host(name))
    }
}

/// The generation and the claimant that a host's broker stands on.
fn claim(host: &Host) -> anyhow::Result<(u64, u64)> {
    let said = host.try_run("abide ha status --json", "")?.out;
    let number = |key: &str| {
        let after = said.split(&format!("\"{key}\": ")).nth(1)?;
        after.split(|it: char| !it.is_ascii_digit()).next()?.parse().ok()
    };
    let claim = number("generation").zip(number("claimant"));
    claim.with_context(|| format!("{} tells no claim: {said}", host.name))
}
