//! Every broker's disk is lost, and more goes wrong: the keys too, or the broker that makes the table anew.

use std::collections::BTreeMap;
use std::time::Duration;

use abide_api::{ProblemKind, StartRequest, Want};
use abide_client::{Api, CallError, WishKey};
use abide_cluster::{Cluster, Options, until};
use serde_json::{Value, json};

use crate::command_line::{Computer, failed, succeeded};
use crate::three_brokers::{three, until_standing};

const DEADLINE: Duration = Duration::from_secs(30);

/// The session of each user, by the command line's list.
fn sessions(computer: &Computer) -> Vec<Value> {
    computer.json(&["session", "list", "--json"])["sessions"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_all_keys_lost_the_command_line_brings_every_desktop_back() {
    let mut cluster =
        Cluster::start(Options { agents: 1, ..Options::new().unwrap() }).await.unwrap();
    let ada = cluster.add_user("ada").unwrap();
    let (admin, hers) = (Computer::new(), Computer::new());
    hers.log_in(&cluster, &ada);
    succeeded(&hers.run(&["connect"]));
    let before = sessions(&hers)[0]["id"].clone();
    let keeper = cluster.agents()[0].keeper(before.as_str().unwrap()).unwrap().pid;

    cluster.lose_the_table().unwrap();
    std::fs::remove_dir_all(cluster.broker().dir.join("identity")).unwrap();
    let config = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    let (broker, agent) = (config(cluster.broker().config()), config(cluster.agents()[0].config()));
    succeeded(&admin.run(&["broker", "init", "--config", &broker, "--rebuild"]));
    cluster.start_broker(0).await.unwrap();
    admin.log_in(&cluster, cluster.admin());

    let token = admin.run(&["cluster", "token", "agent"]);
    let token = String::from_utf8(succeeded(&token).stdout.clone()).unwrap();
    let at = cluster.broker().agent_address.clone();
    let join = ["agent", "join", "--config", &agent, "--broker", &at, "--token-file", "-"];
    failed(&admin.run_with(&token, &join), 1, "--replace-cluster");
    succeeded(&admin.run_with(&token, &[&join[..], &["--replace-cluster"]].concat()));
    cluster.stop_agent(0);
    cluster.start_agent(0).unwrap();
    let status = ["cluster", "recover", "status", "--json"];
    until("the agent has reported", DEADLINE, async || {
        let agents = admin.json(&status)["agents"].clone();
        (agents[0]["reported"] == true && agents[0]["unverified"] == 1).then_some(())
    })
    .await
    .unwrap();
    hers.log_in(&cluster, &ada);
    assert_eq!(sessions(&hers), [Value::Null; 0], "nobody vouches for it yet");

    let confirmed = admin.run(&["cluster", "recover", "confirm", "agent1"]);
    assert!(succeeded(&confirmed).stdout.starts_with(b"1 sessions"), "{confirmed:?}");
    let mine = until("it is hers again", DEADLINE, async || sessions(&hers).pop()).await.unwrap();
    assert_eq!((&mine["id"], &mine["state"]), (&before, &json!("running")));
    succeeded(&hers.run(&["connect"]));
    failed(&hers.run(&["connect", "--new"]), 1, "have lost their records");
    succeeded(&admin.run(&["cluster", "recover", "go"]));
    succeeded(&hers.run(&["connect", "--new"]));
    assert_eq!(sessions(&hers).len(), 2);
    assert_eq!(
        cluster.agents()[0].keeper(before.as_str().unwrap()).unwrap().pid,
        keeper,
        "all the while it ran"
    );
}

async fn start(api: &Api, want: Want) -> Result<String, CallError> {
    let request = StartRequest { profile: None, want };
    Ok(api.start(&request, &WishKey::random()).await?.session.id)
}

/// Nothing new is started: the table is not whole.
async fn is_refused(api: &Api) {
    match start(api, Want::Start).await {
        Err(CallError::Refused { problem, .. }) => {
            assert_eq!(problem.known(), Some(ProblemKind::Rebuilding), "{problem:?}");
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// All sessions, with their agents, as administrators see them.
async fn listed(admin: &Api) -> BTreeMap<String, String> {
    let sessions = admin.sessions().await.unwrap().sessions;
    sessions.into_iter().map(|it| (it.id, it.agent)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leaders_death_in_the_middle_of_a_rebuild_places_nothing_early_and_nothing_twice() {
    let (mut cluster, admin) = three().await;
    let ada = cluster.add_user("ada").unwrap();
    let hers = start(&cluster.log_in(&ada).await.unwrap(), Want::Start).await.unwrap();
    // Somebody on each agent.
    for name in ["bob", "carol", "dan"] {
        let other = cluster.add_user(name).unwrap();
        start(&cluster.log_in(&other).await.unwrap(), Want::Start).await.unwrap();
    }
    let before = listed(&admin).await;
    let of = |agent: &str| before.values().filter(|it| *it == agent).count();
    assert!(cluster.agents().iter().all(|agent| of(&agent.id) > 0), "{before:?}");

    cluster.lose_the_table().unwrap();
    cluster.kill_agent(1);
    cluster.prepare_recovery(0).unwrap();
    cluster.start_broker(0).await.unwrap();
    let admin = cluster.log_in(cluster.admin()).await.unwrap();
    let agents = cluster.agents().iter().map(|agent| agent.name.clone()).collect();
    admin.expect_agents(agents).await.unwrap();
    for index in [1, 2] {
        cluster.start_broker(index).await.unwrap();
    }
    until_standing(&admin, |now| now.voters == 3 && now.can_lose == 1).await;
    let away = [cluster.agents()[1].name.clone()];
    until("one agent has reported", DEADLINE, async || {
        (admin.recovery().await.ok()?.missing == away).then_some(())
    })
    .await
    .unwrap();
    let api = cluster.log_in(&ada).await.unwrap();
    is_refused(&api).await;

    let leader = cluster.leader(&admin).await.unwrap();
    cluster.kill_broker(leader);
    is_refused(&api).await;
    let recovery = admin.recovery().await.unwrap();
    assert!(recovery.waiting && recovery.missing == away, "{recovery:?}");
    assert_ne!(cluster.leader(&admin).await.unwrap(), leader);

    cluster.start_agent(1).unwrap();
    until("all have reported", DEADLINE, async || {
        (!admin.recovery().await.ok()?.waiting).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(listed(&admin).await, before, "exactly those that there were");
    assert_eq!(start(&api, Want::ResumeOrStart).await.unwrap(), hers);
    start(&api, Want::Start).await.unwrap();
    let keepers: usize = cluster.agents().iter().map(|agent| agent.keepers().len()).sum();
    assert_eq!(keepers, before.len() + 1);
}
