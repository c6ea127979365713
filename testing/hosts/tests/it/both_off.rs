//! Both hosts of a pair lose their power, and first the one comes back that was not last in charge.

use std::sync::Arc;
use std::time::Duration;

use abide_api::SessionState;
use abide_client::WishKey;
use abide_hosts::site::{BROKER, Plan, Site, add_person, page, start};
use abide_hosts::{Hosts, Person, package, tell};
use abide_lab::viewer::Viewer;
use anyhow::{Context, ensure};

use crate::managed::{ADDRESS, has_address, serves, status};

const PLAN: Plan<'_> =
    Plan { brokers: &["h1", "h2"], agents: &["h1", "h2", "h3"], pair: Some("unfenced") };
const LEADER: i32 = 0;
const FOLLOWER: i32 = 10;
const STALE: i32 = 13;
/// The picture moves every second.
const UNDISTURBED: Duration = Duration::from_secs(3);

#[test]
fn whoever_was_not_last_in_charge_does_not_serve_alone_after_a_power_cut() {
    tell(whoever_was_not_last_in_charge_does_not_serve_alone_after_a_power_cut, async {
        let lab = Hosts::boot(["h1", "h2", "h3"])?;
        lab.install(&package()?)?;
        let site = Site::found_behind(&lab, PLAN, ADDRESS).await?;
        crate::keepalived::set_up(&lab)?;
        serves(&lab, "h1").await?;
        let mut acknowledged = Vec::new();
        let mut viewer = None;
        for (number, falls) in ["h1", "h2"].into_iter().enumerate() {
            for one in 0..3 {
                let mut person = Person::new(&format!("user{number}{one}"), "correct horse");
                lab.on_each(|host| if host.is_on() { add_person(host, &person) } else { Ok(()) })?;
                let api = Arc::new(site.log_in(&mut person).await?);
                let reply = start(&api).await?;
                if reply.session.agent_name == "h3" && viewer.is_none() {
                    viewer = Some(Viewer::attach(api.clone(), reply.clone()).await?);
                }
                acknowledged.push((person, reply.session));
            }
            lab.host(falls).power_off()?;
            if falls == "h1" {
                serves(&lab, "h2").await?;
            }
        }
        let viewer = viewer.context("no desktop is on host 3")?;

        let (h1, h2) = (lab.host("h1"), lab.host("h2"));
        h1.boot()?;
        let refuses = async || (status(h1) == Some(STALE)).then_some(());
        lab.wait_for("host 1 takes its data for stale", refuses).await?;
        println!("host 1: abide ha status: {}", h1.try_run("abide ha status", "")?.out.trim());
        let activate = h1.try_run("abide ha activate", "")?;
        println!("host 1: abide ha activate: {}", activate.out.trim());
        ensure!(activate.status.code() == Some(STALE), "{activate:?}");
        let ready = page(h1, BROKER, "/readyz")?;
        println!("host 1: /readyz: {}", ready.lines().last().unwrap_or_default());
        ensure!(ready.starts_with("HTTP/1.0 503"), "{ready}");
        let faulty = async || h1.run("grep FAULT /run/abide/keepalived/abide").ok();
        lab.wait_for("keepalived gives host 1 nothing", faulty).await?;
        ensure!(!has_address(h1, ADDRESS), "host 1 has the address");

        h2.boot()?;
        let whole = async || {
            let mut both = [status(h1), status(h2)];
            both.sort_unstable();
            (both == [Some(LEADER), Some(FOLLOWER)]).then_some(())
        };
        lab.wait_for("one leads, and one follows", whole).await?;
        let served = async || [h1, h2].into_iter().any(|it| has_address(it, ADDRESS)).then_some(());
        lab.wait_for("keepalived gives one of them the address", served).await?;
        site.settle(&lab, PLAN).await?;
        for (mut person, session) in acknowledged {
            // Who came while host 1 was off has no account there.
            let _ = add_person(h1, &person);
            let api = site.log_in(&mut person).await?;
            let all = api.sessions().await?.sessions;
            let now = all.iter().find(|it| it.id == session.id);
            let now = now.with_context(|| format!("{} is lost", session.id))?;
            if session.agent_name == "h3" {
                api.connect(&session.id, &WishKey::random()).await?;
            } else {
                ensure!(now.state == SessionState::Lost, "its host fell: {now:?}");
            }
        }
        let gap = viewer.longest_gap()?;
        println!("host 3: the longest time without a picture: {} ms", gap.as_millis());
        ensure!(gap < UNDISTURBED, "a viewer was disturbed");
        Ok(())
    });
}
