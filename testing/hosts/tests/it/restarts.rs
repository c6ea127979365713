//! Restarts, upgrades and removal of the package, with desktops in use.

use std::sync::Arc;
use std::time::Duration;

use abide_client::WishKey;
use abide_hosts::site::{Plan, Site, add_person, start};
use abide_hosts::{Host, Hosts, Person, package, tell};
use abide_lab::viewer::Viewer;

const PLAN: Plan<'_> = Plan { brokers: &["h1"], agents: &["h1"], broker_config: "" };

/// The desktop's processes, with when each began.
fn processes(host: &Host) -> anyhow::Result<String> {
    host.run(
        "ps -u ada -o pid,lstart,comm --sort pid --no-headers | grep -E 'xclock|Xtigervnc|Xvnc'",
    )
}

#[test]
fn no_restart_of_a_unit_touches_a_desktop() {
    tell(no_restart_of_a_unit_touches_a_desktop, async {
        let lab = Hosts::boot(["h1"])?;
        lab.install(&package()?)?;
        let site = Site::found(&lab, PLAN).await?;
        let (host, mut ada) = (lab.host("h1"), Person::new("ada", "correct horse"));
        add_person(host, &ada)?;
        let api = Arc::new(site.log_in(&mut ada).await?);
        let reply = start(&api).await?;
        let session = reply.session.id.clone();
        let viewer = Viewer::attach(api.clone(), reply).await?;
        lab.wait_for("the clock runs", async || {
            processes(host).ok()?.contains("xclock").then_some(())
        })
        .await?;
        let before = processes(host)?;
        for units in ["abide-launcher", "abide-broker", "abide-agent", "'abide-*'"] {
            host.run(&format!("systemctl restart {units}"))?;
            assert_eq!(processes(host)?, before, "after the restart of {units}");
            site.settle(&lab, PLAN).await?;
        }
        host.run("systemctl stop 'abide-*.service'")?;
        assert_eq!(processes(host)?, before, "while all units are stopped");
        host.run("systemctl start abide-launcher abide-broker abide-agent")?;
        site.settle(&lab, PLAN).await?;
        api.connect(&session, &WishKey::random()).await?;
        let gap = viewer.longest_gap()?;
        assert!(gap < Duration::from_secs(30), "{gap:?}");
        Ok(())
    });
}
