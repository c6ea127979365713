//! Two brokers as a pair: a person is the cluster manager here, who says who is to serve.

use std::sync::Arc;
use std::time::{Duration, Instant};

use abide_api::SessionState;
use abide_hosts::site::{Plan, Site, add_person, start};
use abide_hosts::{Host, Hosts, Person, package, tell};
use abide_lab::viewer::Viewer;

const PLAN: Plan<'_> =
    Plan { brokers: &["h1", "h2"], agents: &["h1", "h2", "h3"], pair: Some("unfenced") };
/// After the manager's word; some 200 ms where nothing else runs.
const SERVES: Duration = Duration::from_secs(5);

/// How `abide ha status` exits on this host: docs/pair.md has the numbers.
fn status(host: &Host) -> Option<i32> {
    host.try_run("abide ha status", "").ok()?.status.code()
}

#[test]
fn a_pair_bears_the_loss_of_either_host_and_takes_it_back() {
    tell(a_pair_bears_the_loss_of_either_host_and_takes_it_back, async {
        let lab = Hosts::boot(["h1", "h2", "h3"])?;
        lab.install(&package()?)?;
        let site = Site::found(&lab, PLAN).await?;
        lab.host("h1").run("abide ha activate")?;
        let mut ada = Person::new("ada", "correct horse");
        lab.on_each(|host| add_person(host, &ada))?;
        let api = Arc::new(site.log_in(&mut ada).await?);
        let mut living = vec![start(&api).await?];
        let viewer = Viewer::attach(api.clone(), living[0].clone()).await?;
        let home = living[0].session.agent_name.clone();
        // The desktop that somebody looks at must not be on a host that falls.
        let falls = if home == "h1" { ["h2", "h1"] } else { ["h1", "h2"] };
        lab.host(falls[0]).run("abide ha activate")?;
        for (fallen, other, emptied) in [(falls[0], falls[1], false), (falls[0], falls[1], true)] {
            lab.host(fallen).power_off()?;
            lab.host(other).run("abide ha activate")?;
            let said = Instant::now();
            living.push(start(&api).await?);
            assert!(said.elapsed() < SERVES, "{:?}", said.elapsed());
            assert_eq!(status(lab.host(other)), Some(0));
            lab.host(fallen).boot()?;
            if emptied {
                let host = lab.host(fallen);
                host.run("systemctl stop abide-broker; rm -r /var/lib/abide/broker/*")?;
                host.run("systemctl start abide-broker")?;
            }
            let back = async || (status(lab.host(fallen)) == Some(10)).then_some(());
            lab.wait_for("the one that fell follows in sync", back).await?;
            site.settle(&lab, PLAN).await?;
            // The manager gives it back.
            lab.host(fallen).run("abide ha activate")?;
            lab.host(other).run("abide ha release")?;
            let leads = async || (status(lab.host(fallen)) == Some(0)).then_some(());
            lab.wait_for("the one that fell leads again", leads).await?;
        }
        let all = api.sessions().await?.sessions;
        for session in living.iter().map(|it| &it.session) {
            let now = all.iter().find(|it| it.id == session.id);
            let now = now.unwrap_or_else(|| panic!("{} is not known any more", session.id));
            let fell = session.agent_name == falls[0];
            assert!(now.state == SessionState::Running || fell, "{now:?}");
        }
        assert!(viewer.longest_gap()? < Duration::from_secs(3), "the viewer was disturbed");
        Ok(())
    });
}
