//! An upgrade of a whole site, host after host, while people work.

use std::sync::Arc;
use std::time::Duration;

use abide_api::SessionState;
use abide_client::{Api, WishKey};
use abide_hosts::site::{Plan, Site, add_person, start};
use abide_hosts::{Hosts, Person, install, newer_package, package, tell};
use tokio::sync::watch;

const PLAN: Plan<'_> =
    Plan { brokers: &["h1", "h2", "h3"], agents: &["h1", "h2", "h3"], pair: None };
/// Between two calls of one person.
const PAUSE: Duration = Duration::from_millis(50);

/// What a person did until told to stop: desktops that were acknowledged, and the number of calls.
struct Done {
    living: Vec<String>,
    calls: u32,
}

/// Starts desktops, comes back to them, and ends some; the first call that fails ends it.
async fn work(api: Arc<Api>, stop: watch::Receiver<bool>) -> anyhow::Result<Done> {
    let mut done = Done { living: Vec::new(), calls: 0 };
    while !*stop.borrow() {
        let session = start(&api).await?.session.id;
        done.living.push(session.clone());
        for _ in 0..10 {
            api.connect(&session, &WishKey::random()).await?;
            tokio::time::sleep(PAUSE).await;
        }
        done.calls += 11;
        if done.living.len() > 2 {
            api.end(&done.living.remove(0)).await?;
            done.calls += 1;
        }
    }
    Ok(done)
}

#[test]
fn a_site_is_upgraded_host_by_host_and_no_call_fails() {
    tell(a_site_is_upgraded_host_by_host_and_no_call_fails, async {
        let lab = Hosts::boot(["h1", "h2", "h3"])?;
        lab.install(&package()?)?;
        let site = Site::found(&lab, PLAN).await?;
        let (stop, stopped) = watch::channel(false);
        let mut people = Vec::new();
        for name in ["ada", "bob"] {
            let mut person = Person::new(name, "correct horse");
            lab.on_each(|host| add_person(host, &person))?;
            let api = Arc::new(site.log_in(&mut person).await?);
            people.push((api.clone(), tokio::spawn(work(api, stopped.clone()))));
        }
        for host in lab.all() {
            install(host, &newer_package()?)?;
            site.settle(&lab, PLAN).await?;
        }
        stop.send_replace(true);
        for (api, work) in people {
            let done = work.await??;
            assert!(done.calls > 30, "hardly anything was done: {} calls", done.calls);
            let all = api.sessions().await?.sessions;
            for id in done.living {
                let now = all.iter().find(|it| it.id == id);
                assert_eq!(now.map(|it| it.state), Some(SessionState::Running), "{id}: {all:?}");
            }
        }
        Ok(())
    });
}
