//! The cluster's configuration: one text for all, taken by whichever broker is asked.

use std::time::Duration;

use abide_api::{ConfigRequest, ProblemKind, StartRequest, Want};
use abide_client::{Api, WishKey};
use abide_cluster::{Cluster, until};

use crate::command_line::{Computer, failed, succeeded};
use crate::three_brokers::{self, until_standing};

const DEADLINE: Duration = Duration::from_secs(30);

/// Three brokers that have found out that all of them know configurations.
async fn three() -> (Cluster, Api) {
    let (cluster, admin) = three_brokers::three().await;
    until_standing(&admin, |now| now.wire >= Some(2)).await;
    (cluster, admin)
}

fn wanted(base: u64, text: &str) -> ConfigRequest {
    ConfigRequest { base, text: text.to_owned(), note: None }
}

/// The administrator's way to one broker alone.
async fn at(cluster: &Cluster, index: usize) -> Api {
    cluster.log_in_at(cluster.admin(), index).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_broker_takes_all_know_and_the_leaders_death_loses_none_of_it() {
    let (mut cluster, admin) = three().await;
    assert_eq!(admin.config().await.unwrap().version, 0);
    let leader = cluster.leader(&admin).await.unwrap();
    let follower = at(&cluster, (leader + 1) % 3).await;
    let first = follower.put_config(&wanted(0, "sessions_per_user = 4")).await.unwrap();
    assert_eq!((first.version, first.by.as_deref()), (1, Some("admin")));
    for index in 0..3 {
        assert_eq!(at(&cluster, index).await.config().await.unwrap(), first);
    }

    let large = format!("notice = 'Hello'\n#{}", "x".repeat(200 << 10));
    let second = admin.put_config(&wanted(1, &large)).await.unwrap();
    cluster.kill_broker(leader);
    let (asked, repeated) = (wanted(2, "notice = 'once'"), wanted(2, "notice = 'once'"));
    let third = admin.put_config(&asked).await.unwrap();
    assert_eq!(admin.put_config(&repeated).await.unwrap(), third, "a repeat is the same version");
    assert_eq!(admin.config_version(2).await.unwrap(), second);

    cluster.start_broker(leader).await.unwrap();
    let back = at(&cluster, leader).await;
    assert_eq!(back.config().await.unwrap(), third);
    let versions = back.config_history().await.unwrap().versions;
    assert_eq!(versions.iter().map(|it| it.version).collect::<Vec<_>>(), [3, 2, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_is_taken_and_the_others_are_told_so() {
    let (cluster, admin) = three().await;
    let apis = [at(&cluster, 0).await, at(&cluster, 1).await, at(&cluster, 2).await];
    for base in 0..5 {
        let texts: Vec<_> = (0..9).map(|n| format!("sessions_per_user = {}", n + 1)).collect();
        let tries = texts.iter().zip(apis.iter().cycle()).map(async |(text, api)| {
            let result = api.put_config(&wanted(base, text)).await;
            result.map_err(|cause| cause.kind())
        });
        let results = futures_util::future::join_all(tries).await;
        let taken: Vec<_> = results.iter().filter_map(|it| it.as_ref().ok()).collect();
        assert_eq!(taken.len(), 1, "{results:?}");
        let refused = results.iter().filter(|it| **it == Err(Some(ProblemKind::ConfigChanged)));
        assert_eq!(refused.count(), 8, "{results:?}");
        assert_eq!(admin.config().await.unwrap(), *taken[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_handles_it_by_the_command_line() {
    let (cluster, admin) = three().await;
    let (computer, other) = (Computer::new(), Computer::new());
    computer.log_in(&cluster, cluster.admin());
    other.log_in(&cluster, &cluster.add_user("ada").unwrap());
    failed(&other.run(&["config", "show"]), 1, "administrators");
    assert!(succeeded(&computer.run(&["config", "show"])).stdout.is_empty());
    let file = computer.home().join("cluster.toml");
    let path = file.to_str().unwrap();
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    let said = |arguments: &[&str]| {
        String::from_utf8(succeeded(&computer.run(arguments)).stdout.clone()).unwrap()
    };

    write("[shadow]\nmode = 'aks'\ncolour = 1\n");
    for arguments in [&["config", "apply", path][..], &["config", "apply", path, "--dry-run"]] {
        failed(&computer.run(arguments), 2, "cluster.toml:2: shadow.mode");
        failed(&computer.run(arguments), 2, "cluster.toml:3: shadow.colour");
    }
    assert_eq!(admin.config().await.unwrap().version, 0, "nothing was changed");

    write("[shadow]\nmode = 'notify'\n");
    let diff = said(&["config", "apply", path, "--dry-run"]);
    assert!(diff.contains("+mode = 'notify'"), "{diff}");
    assert_eq!(admin.config().await.unwrap().version, 0);
    succeeded(&computer.run(&["config", "apply", path, "--note", "people want to know"]));
    assert_eq!(said(&["config", "show"]), "[shadow]\nmode = 'notify'\n");
    succeeded(&computer.run(&["config", "apply", path]));
    assert_eq!(admin.config().await.unwrap().version, 1, "the same text is no new version");

    write("[shadow]\nmode = 'ask'\n");
    assert!(said(&["config", "diff", path]).contains("-mode = 'notify'\n+mode = 'ask'"));
    succeeded(&computer.run(&["config", "apply", path]));
    assert!(said(&["config", "diff", "1"]).contains("-mode = 'notify'\n+mode = 'ask'"));
    assert!(said(&["config", "diff", "2", "1"]).contains("-mode = 'ask'\n+mode = 'notify'"));
    failed(&computer.run(&["config", "show", "--version", "7"]), 1, "no version 7");
    let history = said(&["config", "history"]);
    assert!(history.contains("people want to know"), "{history}");
    let json = computer.json(&["config", "history", "--json"]);
    assert_eq!(json["versions"][0]["version"], 2);
    assert_eq!(json["versions"][1]["by"], "admin");

    // Back to what was.
    let old = said(&["config", "show", "--version", "1"]);
    succeeded(&computer.run_with(&old, &["config", "apply", "-"]));
    assert_eq!(said(&["config", "show"]), old);
    until("the audit log has it", DEADLINE, async || {
        let logs = cluster.brokers().iter().map(|it| it.dir.join("data/audit.jsonl"));
        let all: String = logs.filter_map(|log| std::fs::read_to_string(log).ok()).collect();
        ["configuration 1", "configuration 3"].iter().all(|it| all.contains(it)).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_in_an_editor_is_taken_or_kept_in_a_file() {
    let (cluster, admin) = three().await;
    let computer = Computer::new();
    computer.log_in(&cluster, cluster.admin());
    let edit = |editor: &str| computer.run_in(&[("EDITOR", editor)], "", &["config", "edit"]);
    succeeded(&edit("true"));
    assert_eq!(admin.config().await.unwrap().version, 0, "nothing was changed");
    succeeded(&edit("sed -i '1i sessions_per_user = 3'"));
    let taken = admin.config().await.unwrap();
    let typed = "sessions_per_user = 3\n# The cluster's configuration";
    assert!(taken.text.starts_with(typed), "it begins with the template: {}", taken.text);

    let kept = |output: &std::process::Output| {
        let words = String::from_utf8_lossy(&output.stderr);
        let path = words.lines().find_map(|line| line.strip_prefix("Your text is kept: "));
        let path = path.expect("the file is named").to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        text
    };
    // The file's name comes last: what is before it writes into it.
    let bad = edit("echo 'colour = 1' >");
    failed(&bad, 2, "cluster.toml:1: colour: unknown key");
    assert_eq!(kept(&bad), "colour = 1\n");

    let theirs = computer.home().join("theirs.toml");
    std::fs::write(&theirs, "sessions_per_user = 5\n").unwrap();
    let abide = abide_cluster::Binaries::beside_this_program().unwrap().abide;
    let meanwhile = format!(
        "{} config apply {} && echo 'sessions_per_user = 7' >",
        abide.display(),
        theirs.display()
    );
    let late = edit(&meanwhile);
    failed(&late, 1, "another configuration was taken meanwhile: Version 2, by admin");
    assert_eq!(kept(&late), "sessions_per_user = 7\n");
    assert_eq!(admin.config().await.unwrap().text, "sessions_per_user = 5\n");
    failed(&edit("false"), 1, "cannot edit with false");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desktop_of_the_configuration_is_started_at_once_and_after_every_restart() {
    let (mut cluster, admin) = three().await;
    let api = cluster.log_in(&cluster.add_user("ada").unwrap()).await.unwrap();
    let is_offered = async || {
        let offered = admin.profiles().await.ok()?.profiles;
        offered.iter().any(|it| it.name == "fresh" && it.title == "Fresh").then_some(())
    };
    let text = "
        [[pool]]
        name = 'all'
        agents = ['agent*']
        default = true
        [[profile]]
        name = 'fresh'
        title = 'Fresh'
        plain = true
        command = ['sleep', '123456']";
    admin.put_config(&wanted(0, text)).await.unwrap();
    until("it is offered", DEADLINE, is_offered).await.unwrap();
    let fresh = StartRequest { profile: Some("fresh".to_owned()), want: Want::Start };
    let first = api.start(&fresh, &WishKey::random()).await.unwrap().session;
    assert_eq!(first.pool.as_deref(), Some("all"));
    assert!(commands_of(&cluster, &first.id).contains("sleep\x00123456\x00"));

    for agent in 0..2 {
        cluster.kill_agent(agent);
    }
    for broker in 0..3 {
        cluster.kill_broker(broker);
    }
    for agent in 0..2 {
        cluster.start_agent(agent).unwrap();
    }
    for broker in 0..3 {
        cluster.launch_broker(broker).unwrap();
    }
    until_standing(&admin, |now| now.can_lose == 1).await;
    cluster.until_agents_are_heard(&admin).await.unwrap();
    assert_eq!(admin.config().await.unwrap().text, text);
    let second = api.start(&fresh, &WishKey::random()).await.unwrap().session;
    assert!(commands_of(&cluster, &second.id).contains("sleep\x00123456\x00"));

    // Taken away, it is not started any more; the desktops go on.
    admin.put_config(&wanted(1, "")).await.unwrap();
    until("it is offered no more", DEADLINE, async || is_offered().await.is_none().then_some(()))
        .await
        .unwrap();
    let refused = api.start(&fresh, &WishKey::random()).await.unwrap_err();
    assert_eq!(refused.kind(), Some(ProblemKind::NoAgent), "{refused}");
    assert_eq!(api.connect(&first.id, &WishKey::random()).await.unwrap().session.id, first.id);
}

/// The command lines of all processes of a session.
fn commands_of(cluster: &Cluster, session: &str) -> String {
    let agents = cluster.agents().iter();
    let agent = agents.filter(|it| it.session_folders().iter().any(|id| id == session));
    let all = agent.flat_map(|it| it.session_processes(session));
    all.filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()).collect()
}
