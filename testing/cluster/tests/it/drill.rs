//! Failures on purpose: `abide cluster drill` on a cluster of three.

use std::process::{Command, Stdio};

use abide_cluster::{Binaries, Cluster};
use serde_json::Value;

use crate::command_line::{Computer, failed, succeeded};
use crate::three_brokers::{three, until_standing};

/// The drill on this broker's host.
fn arguments<'a>(drill: &'a str, config: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["cluster", "drill", drill, "--config", config], more].concat()
}

fn config_of(cluster: &Cluster, broker: usize) -> String {
    cluster.brokers()[broker].config().to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_is_done_only_with_a_yes_and_on_the_right_host() {
    let (mut cluster, admin) = three().await;
    let computer = Computer::new();
    computer.log_in(&cluster, cluster.admin());
    let leader = cluster.leader(&admin).await.unwrap();
    let follower = (leader + 1) % 3;
    let (here, there) = (config_of(&cluster, leader), config_of(&cluster, follower));

    // Nobody is at a terminal, and nobody agreed beforehand.
    failed(&computer.run(&arguments("leader-kill", &here, &[])), 1, "--yes");
    // Somebody is, and does not agree.
    let typed = format!(
        "{} {}",
        Binaries::beside_this_program().unwrap().abide.display(),
        arguments("leader-kill", &here, &[]).join(" ")
    );
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &typed, "/dev/null"]);
    script.env("HOME", computer.home()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut script = script.spawn().unwrap();
    std::io::Write::write_all(&mut script.stdin.take().unwrap(), b"n\n").unwrap();
    let declined = script.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&declined.stdout);
    assert!(said.contains("Do it? [y/N]") && said.contains("nothing was changed"), "{said}");
    assert_eq!(declined.status.code(), Some(1));
    // What was meant is another host's broker.
    let url = cluster.brokers()[leader].url.to_string();
    failed(&computer.run(&arguments("leader-kill", &there, &["--yes"])), 1, &url);
    failed(&computer.run(&arguments("follower-kill", &here, &["--yes"])), 1, "of a follower");
    assert!(cluster.turns().is_empty());

    // With one gone, another is one too many.
    cluster.kill_broker(follower);
    until_standing(&admin, |now| now.can_lose == 0).await;
    failed(&computer.run(&arguments("leader-stop", &here, &["--yes"])), 1, "can lose no broker");
    assert!(cluster.turns().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn drills_hurt_the_broker_and_tell_what_people_would_have_noticed() {
    let (mut cluster, admin) = three().await;
    let computer = Computer::new();
    computer.log_in(&cluster, cluster.admin());
    for (drill, process) in
        [("leader-kill", "gone"), ("follower-kill", "gone"), ("leader-stop", "gone")]
    {
        let leader = cluster.leader(&admin).await.unwrap();
        let hurt = if drill == "follower-kill" { (leader + 1) % 3 } else { leader };
        let config = config_of(&cluster, hurt);
        let told = told(&computer, &arguments(drill, &config, &["--yes", "--json"]));
        eprintln!("{drill}: {told}");
        assert_eq!(told["drill"], drill);
        assert_eq!(told["broker"], cluster.brokers()[hurt].id);
        assert_eq!(told["asked"]["for"], "sessions");
        assert_eq!((&told["failed"], &told["process"]["is"]), (&0.into(), &process.into()));
        assert!(told["calls"].as_u64().unwrap() > 10 && told["again_ms"].is_u64(), "{told}");
        let now = &told["cluster"];
        assert_eq!(now["can_lose"], 0, "{told}");
        assert_ne!(now["leader"], told["broker"]);
        assert_eq!(cluster.turns().len(), 1, "it is gone, and no other is");
        cluster.start_broker(hurt).await.unwrap();
        until_standing(&admin, |now| now.can_lose == 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_leader_goes_on_as_a_follower_and_the_report_is_for_people() {
    let (mut cluster, admin) = three().await;
    let computer = Computer::new();
    computer.log_in(&cluster, cluster.admin());
    // There is a session to ask for.
    succeeded(&computer.run(&["connect"]));
    let leader = cluster.leader(&admin).await.unwrap();
    let config = config_of(&cluster, leader);
    let paused = computer.run(&arguments("leader-pause", &config, &["--yes"]));
    let told = String::from_utf8(succeeded(&paused).stdout.clone()).unwrap();
    for part in [
        "The leader stood still for ten seconds: http",
        "the way back into session",
        ", 0 failed; the longest took ",
        "Not watched: logins and starts",
        " leads now.",
        "Can lose 1 more: 3 of 3 brokers are there",
        "The broker of this host goes on.",
    ] {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
    assert!(cluster.turns().is_empty());
    assert_ne!(cluster.leader(&admin).await.unwrap(), leader);
}

fn told(computer: &Computer, arguments: &[&str]) -> Value {
    serde_json::from_slice(&succeeded(&computer.run(arguments)).stdout).unwrap()
}
