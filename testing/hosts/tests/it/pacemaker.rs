//! A pair under Pacemaker and Corosync, with fencing, set up as docs/pacemaker.md says.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use abide_hosts::site::{Plan, Site, start};
use abide_hosts::{Hosts, package, tell};
use abide_lab::faults::Fault;
use anyhow::ensure;
use tokio::sync::watch;

use crate::managed::{Desktop, Manager, Story, serves, tell_of};

/// An address that is a resource by itself: how fast the manager is without Abide.
const ALONE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 201);
const FENCE_AGENT: &str = include_str!("fence_lab");

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
/// With this, said on either host, host 1 is promoted again when it comes back.
const FAILBACK: &str = "cibadmin --query --xpath \"//rule[@id='failback']\" || pcs constraint \
                        location abide-clone rule id=failback role=Promoted score=2000 '#uname' eq h1";
/// What the manager's own time is measured with. All hosts see the machine's load, by which Pacemaker
/// would do one thing after the other that it else does at once.
const MEASURE: &[&str] = &[
    "crm_attribute --type crm_config --name load-threshold --update 10000%",
    "pcs resource create alone ocf:heartbeat:IPaddr2 ip=10.77.0.201 cidr_netmask=32 \
     op monitor interval=10s",
    "pcs constraint location alone prefers h1=2000",
];
/// Host 1 is to begin with it all, whoever leads.
const H1_IS_PROMOTED: &str = "timeout 150 sh -c 'until crm_resource --resource abide-clone --locate | \
                              grep -q \"h1 Promoted\"; do sleep 1; done'";

/// Steps 3 to 5.
fn set_up(lab: &Hosts) -> anyhow::Result<()> {
    for host in ["h1", "h2"].map(|name| lab.host(name)) {
        host.run("systemctl disable --now abide-broker")?;
        host.write("/usr/sbin/fence_lab", FENCE_AGENT)?;
        host.run("chmod 755 /usr/sbin/fence_lab; systemctl enable --now pcsd")?;
        host.feed("chpasswd", "hacluster:lab\n")?;
        host.run("pcs cluster destroy")?;
    }
    let words = CLUSTER.iter().chain(PAIR).chain(MEASURE);
    for words in words.chain(&[FAILBACK, H1_IS_PROMOTED, "pcs constraint delete failback"]) {
        lab.host("h1").run(words)?;
    }
    Ok(())
}

const PACEMAKER: Manager = Manager {
    name: "Pacemaker",
    takeover: "fenced",
    set_up,
    alone: ALONE,
    // Each of its steps is a few processes of a busy machine. A start that waits for a dead host's
    // agent takes longer.
    beyond: Duration::from_secs(2),
    empty: "until crm_mon --one-shot | grep -q 'Online:.* h1 '; do sleep 1; done; \
            pcs node standby h1 --wait=60 && rm -r /var/lib/abide/broker/* && pcs node unstandby h1",
    is_fit: "crm_attribute --node h1 --name master-abide --lifetime reboot --query",
    leave: "pcs resource move abide-clone h1 --promoted --wait=60",
    fail_back: FAILBACK,
};

#[test]
fn its_resource_agent_passes_ocf_tester() {
    tell(its_resource_agent_passes_ocf_tester, async {
        let lab = Hosts::boot(["h1", "h2"])?;
        lab.install(&package()?)?;
        let plan = Plan { brokers: &["h1", "h2"], agents: &["h2"], pair: Some("fenced") };
        Site::found(&lab, plan).await?;
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

#[test]
fn a_pair_under_pacemaker_bears_the_loss_of_either_host() {
    tell(a_pair_under_pacemaker_bears_the_loss_of_either_host, tell_of(&PACEMAKER));
}

#[test]
fn of_a_pair_under_pacemaker_that_is_cut_in_two_exactly_one_host_survives() {
    tell(of_a_pair_under_pacemaker_that_is_cut_in_two_exactly_one_host_survives, async {
        let mut story = Story::begin(&PACEMAKER).await?;
        story.everywhere().await?;
        let lab = Arc::clone(&story.lab);
        let [h1, h2] = ["h1", "h2"].map(|name| lab.host(name));
        let stop = watch::Sender::new(false);
        let first = story.person().await?;
        let first = story.start(first.token).await?;
        let working = tokio::spawn(work(first, stop.subscribe()));
        let late = story.person().await?;
        let cut = Fault::between(h1.place, h2.place)?;
        let one_is_off = async || (h1.is_on() != h2.is_on()).then_some(());
        lab.wait_for("one is fenced", one_is_off).await?;
        let (living, dead) = if h1.is_on() { (h1, h2) } else { (h2, h1) };
        serves(&lab, &living.name).await?;
        let late = story.start(late.token).await?;
        story.desktops.push(late);
        stop.send_replace(true);
        story.desktops.extend(working.await??);
        ensure!(story.missing().await? == 0, "acknowledged sessions are lost");
        story.enter_all_but(&dead.name).await?;
        ensure!(living.is_on() && !dead.is_on(), "both were fenced");
        drop(cut);
        dead.boot()?;
        story.until_in_sync().await?;
        story.finish()
    });
}

/// Whoever has this desktop starts others, one after the other, until told to stop; every one that was
/// acknowledged.
async fn work(first: Desktop, stop: watch::Receiver<bool>) -> anyhow::Result<Vec<Desktop>> {
    let mut acknowledged = vec![first];
    while !*stop.borrow() {
        let Desktop { api, token, .. } = &acknowledged[0];
        let (api, token) = (api.clone(), token.clone());
        acknowledged.push(Desktop { reply: start(&api).await?, api, token });
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Ok(acknowledged)
}
