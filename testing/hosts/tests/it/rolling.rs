//! An upgrade of a whole site to a newer wire version, host after host, while people work; and the way back.

use std::sync::Arc;
use std::time::Duration;

use abide_api::SessionState;
use abide_client::{Api, WishKey};
use abide_hosts::site::{Plan, Site, add_person, start};
use abide_hosts::{Host, Hosts, Person, install, newer_package, package, tell};
use anyhow::Context;
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

/// Returns when the brokers say that these are the newest wire versions they speak, and that the cluster has
/// come to this one.
async fn hear(lab: &Hosts, site: &Site, newest: [u32; 3], cluster: u32) -> anyhow::Result<()> {
    let what = format!("the brokers speak {newest:?}, the cluster {cluster}");
    lab.wait_for(&what, async || {
        let now = site.admin.cluster_by_leader().await.ok()?;
        let mut each = now.brokers.iter().map(|it| it.wire).collect::<Option<Vec<_>>>()?;
        each.sort_unstable();
        (each == newest && now.wire == Some(cluster)).then_some(())
    })
    .await
}

/// What this host's broker has written to the journal since this moment.
fn said(host: &Host, since: &str) -> anyhow::Result<String> {
    host.run(&format!("journalctl --unit abide-broker --since '{since}' --output cat"))
}

/// The names and contents of a broker's data.
const FINGERPRINT: &str =
    "cd /var/lib/abide/broker && sha256sum raft.db* snapshot* 2>/dev/null; true";

/// The older package on a host whose cluster has been upgraded: its broker is refused in plain words, by its
/// own data and then, without them, by the others; with the newer one it is back.
async fn the_way_back_is_closed(
    lab: &Hosts,
    site: &Site,
    versions: (u32, u32),
) -> anyhow::Result<()> {
    let (host, (old, new)) = (lab.host("h3"), versions);
    host.run("systemctl stop abide-broker")?;
    let (before, since) = (host.run(FINGERPRINT)?, host.run("date '+%F %T'")?);
    let older = package()?;
    let name = older.file_name().context("a package without a name")?.to_string_lossy();
    host.run(&format!("apt-get install --yes --allow-downgrades /root/{name}; true"))?;
    host.run("systemctl start abide-broker; true")?;
    lab.wait_for("it is refused by its data", async || {
        let said = said(host, since.trim()).ok()?;
        let words = format!("wire version {new}, and this Abide speaks 1 to {old}");
        (said.contains("nothing was changed") && said.contains(&words)).then_some(())
    })
    .await?;
    host.run("systemctl stop abide-broker")?;
    assert_eq!(host.run(FINGERPRINT)?, before, "the older broker has changed its data");
    host.run("mv /var/lib/abide/broker /root/aside; systemctl start abide-broker; true")?;
    lab.wait_for("it is refused by the others", async || {
        let said = said(host, since.trim()).ok()?;
        let words =
            format!("the cluster speaks wire version {new}, and this Abide speaks 1 to {old}");
        said.contains(&words).then_some(())
    })
    .await?;
    lab.wait_for("the others say so too", async || {
        let problem = site.admin.cluster_by_leader().await.ok()?.wire_problem?;
        problem.contains("take no part until they run a newer one").then_some(())
    })
    .await?;
    host.run("systemctl stop abide-broker")?;
    host.run("rm -r /var/lib/abide/broker; mv /root/aside /var/lib/abide/broker")?;
    install(host, &newer_package()?)?;
    host.run("systemctl start abide-broker")?;
    site.settle(lab, PLAN).await
}

#[test]
fn a_site_is_upgraded_host_by_host_to_a_newer_wire_version_and_no_call_fails() {
    tell(a_site_is_upgraded_host_by_host_to_a_newer_wire_version_and_no_call_fails, async {
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
        let old = site.admin.cluster_by_leader().await?.wire.context("no wire version")?;
        let new = old + 1;
        let mut newest = [old; 3];
        for (host, place) in lab.all().iter().zip((0..3).rev()) {
            hear(&lab, &site, newest, old).await?;
            install(host, &newer_package()?)?;
            site.settle(&lab, PLAN).await?;
            newest[place] = new;
        }
        hear(&lab, &site, newest, new).await?;
        assert_eq!(site.admin.cluster_by_leader().await?.wire_problem, None);
        the_way_back_is_closed(&lab, &site, (old, new)).await?;
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
