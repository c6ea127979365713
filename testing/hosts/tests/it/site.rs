//! A site of three hosts: two are broker and agent at once, the third is an agent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use abide_api::{SessionReply, SessionState};
use abide_client::{Api, WishKey};
use abide_hosts::site::{Plan, Site, add_person, start};
use abide_hosts::{Host, Hosts, Person, package, tell};
use abide_lab::viewer::Viewer;

const PLAN: Plan<'_> = Plan { brokers: &["h1", "h2"], agents: &["h1", "h2", "h3"], pair: None };
/// A host that is gone is noticed in three seconds.
const NOTICED: Duration = Duration::from_secs(3);

/// Somebody with a desktop.
struct Tenant {
    api: Arc<Api>,
    reply: SessionReply,
}

async fn site() -> anyhow::Result<(Hosts, Site)> {
    let lab = Hosts::boot(["h1", "h2", "h3"])?;
    lab.install(&package()?)?;
    let site = Site::found(&lab, PLAN).await?;
    Ok((lab, site))
}

/// People with an account everywhere, and a desktop each, until one runs on every host.
async fn tenants(lab: &Hosts, site: &Site) -> anyhow::Result<Vec<Tenant>> {
    let mut tenants: Vec<Tenant> = Vec::new();
    let mut hosts = BTreeSet::new();
    while hosts.len() < PLAN.agents.len() {
        anyhow::ensure!(tenants.len() < 12, "all of 12 desktops are on {hosts:?}");
        let mut person = Person::new(&format!("user{}", tenants.len()), "correct horse");
        lab.on_each(|host| add_person(host, &person))?;
        let api = Arc::new(site.log_in(&mut person).await?);
        let reply = start(&api).await?;
        hosts.insert(reply.session.agent_name.clone());
        tenants.push(Tenant { api, reply });
    }
    Ok(tenants)
}

fn on<'a>(tenants: &'a [Tenant], host: &str) -> &'a Tenant {
    let found = tenants.iter().find(|it| it.reply.session.agent_name == host);
    found.unwrap_or_else(|| panic!("nobody is on {host}"))
}

#[test]
fn people_log_in_at_either_broker_and_desktops_run_on_all_hosts() {
    tell(people_log_in_at_either_broker_and_desktops_run_on_all_hosts, async {
        let (lab, site) = site().await?;
        for (number, name) in ["ada", "bob"].into_iter().enumerate() {
            let mut person = Person::new(name, "correct horse");
            lab.on_each(|host| add_person(host, &person))?;
            let login = site.log_in_at(number, &mut person).await?;
            assert_eq!((login.user.as_str(), person.asked), (name, vec!["Password: ".to_owned()]));
        }
        for tenant in tenants(&lab, &site).await? {
            let _viewer = Viewer::attach(tenant.api.clone(), tenant.reply).await?;
        }
        lab.on_each(|host| host.run("abide doctor").map(drop))
    });
}

#[test]
fn a_host_without_power_takes_its_own_desktops_along_and_no_others() {
    tell(a_host_without_power_takes_its_own_desktops_along_and_no_others, async {
        let (lab, site) = site().await?;
        let tenants = tenants(&lab, &site).await?;
        let (stays, falls) = (on(&tenants, "h1"), on(&tenants, "h3"));
        let viewer = Viewer::attach(stays.api.clone(), stays.reply.clone()).await?;
        let fallen = &falls.reply.session.id;
        let state = async || {
            let all = falls.api.sessions().await.ok()?.sessions;
            all.into_iter().find(|it| it.id == *fallen)
        };
        lab.host("h3").power_off()?;
        let cut = Instant::now();
        let unreachable = async || state().await.filter(|it| !it.reachable);
        let session = lab.wait_for("the host is missed", unreachable).await?;
        assert!(cut.elapsed() < NOTICED, "{:?}", cut.elapsed());
        assert!(session.unreachable_since.is_some() && session.state == SessionState::Running);
        let other = start(&falls.api).await?.session;
        assert_ne!(other.agent_name, "h3");

        lab.host("h3").boot()?;
        let lost = async || state().await.filter(|it| it.state == SessionState::Lost);
        let session = lab.wait_for("the desktop is known to be lost", lost).await?;
        let reason = session.reason.unwrap_or_default();
        assert!(reason.contains("its keeper") && reason.contains("gone"), "{reason}");
        site.settle(&lab, PLAN).await?;
        assert!(viewer.longest_gap()? < NOTICED, "a viewer on another host was disturbed");
        Ok(())
    });
}

#[test]
fn a_site_that_lost_its_power_remembers_and_lets_people_in_again() {
    tell(a_site_that_lost_its_power_remembers_and_lets_people_in_again, async {
        let (lab, site) = site().await?;
        let tenants = tenants(&lab, &site).await?;
        lab.on_each(Host::power_off)?;
        lab.on_each(Host::boot)?;
        site.settle(&lab, PLAN).await?;
        for tenant in &tenants {
            let known = async || {
                let all = tenant.api.sessions().await.ok()?.sessions;
                let found = all.into_iter().find(|it| it.id == tenant.reply.session.id)?;
                (found.state == SessionState::Lost).then_some(())
            };
            lab.wait_for("an acknowledged session is known, and known to be lost", known).await?;
        }
        let session = start(&tenants[0].api).await?.session.id;
        tenants[0].api.connect(&session, &WishKey::random()).await.map(drop)?;
        Ok(())
    });
}
