//! An agent is taken out of service.

use std::time::Duration;

use abide_api::{
    AtDeadline, ConfigRequest, DrainRequest, ProblemKind, Session, SessionState, StartRequest, Want,
};
use abide_client::{Api, WishKey};
use abide_cluster::{Cluster, Options, PlayedAgent, until};

use crate::command_line::{Computer, failed, succeeded};
use crate::three_brokers::until_standing;

const DEADLINE: Duration = Duration::from_secs(30);

/// Three brokers and the agents `desk0` and `desk1`.
async fn two_desks() -> (Cluster, Api, Vec<PlayedAgent>) {
    let options = Options { brokers: 3, agents: 0, ..Options::new().unwrap() };
    let cluster = Cluster::start(options).await.unwrap();
    let admin = cluster.log_in(cluster.admin()).await.unwrap();
    until_standing(&admin, |now| now.can_lose == 1 && now.wire >= Some(2)).await;
    let mut agents = Vec::new();
    for n in 0..2 {
        agents.push(PlayedAgent::join(&cluster, &admin, &format!("desk{n}"), 1).await.unwrap());
    }
    until("both agents are heard", DEADLINE, async || {
        let all = admin.agents().await.ok()?.agents;
        (all.len() == 2 && all.iter().all(|it| it.reachable && it.load.is_some())).then_some(())
    })
    .await
    .unwrap();
    (cluster, admin, agents)
}

async fn log_in(cluster: &Cluster, name: &str) -> Api {
    cluster.log_in(&cluster.add_user(name).unwrap()).await.unwrap()
}

async fn start(api: &Api, want: Want) -> Session {
    let wanted = StartRequest { profile: None, want };
    api.start(&wanted, &WishKey::random()).await.unwrap().session
}

/// The session once it has ended.
async fn ended(admin: &Api, id: &str) -> Session {
    until("the session has ended", DEADLINE, async || {
        let all = admin.sessions().await.ok()?.sessions;
        all.into_iter().find(|it| it.id == id && it.state == SessionState::Ended)
    })
    .await
    .unwrap()
}

fn end_in(seconds: u32) -> DrainRequest {
    DrainRequest { deadline_s: Some(seconds), then: AtDeadline::End, ..DrainRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_agent_gets_nothing_new_and_its_people_come_back_to_it() {
    let (cluster, admin, agents) = two_desks().await;
    let ada = log_in(&cluster, "ada").await;
    let first = start(&ada, Want::Start).await;
    let other = agents.iter().find(|it| it.id != first.agent).unwrap();
    let reply = admin.drain(&first.agent, &DrainRequest::default()).await.unwrap();
    assert_eq!((reply.check.sessions, reply.check.fits), (1, true), "{}", reply.check.why);
    assert!(reply.check.why.contains("no maximum"), "{}", reply.check.why);

    for _ in 0..3 {
        assert_eq!(start(&ada, Want::Start).await.agent, other.id, "also beside one's own");
    }
    let back = ada.connect(&first.id, &WishKey::random()).await.unwrap().session;
    assert_eq!((back.id, back.state), (first.id.clone(), SessionState::Running));
    let row = |all: abide_api::Agents| all.agents.into_iter().find(|it| it.id == first.agent);
    let agent = row(admin.agents().await.unwrap()).unwrap();
    assert_eq!((agent.sessions, agent.drain), (1, Some(reply.drain)));

    // The last one that takes anything.
    let refused = admin.drain(&other.id, &DrainRequest::default()).await.unwrap_err();
    assert_eq!(refused.kind(), Some(ProblemKind::NoRoomElsewhere), "{refused}");
    let bad = DrainRequest { then: AtDeadline::End, ..DrainRequest::default() };
    let bad = admin.drain(&other.id, &bad).await.unwrap_err();
    assert_eq!(bad.kind(), Some(ProblemKind::BadRequest), "{bad}");
    let refused = ada.drain(&other.id, &DrainRequest::default()).await.unwrap_err();
    assert_eq!(refused.kind(), Some(ProblemKind::Forbidden), "{refused}");
    let forced = DrainRequest { force: true, ..DrainRequest::default() };
    admin.drain(&other.id, &forced).await.unwrap();
    let wanted = StartRequest { profile: None, want: Want::Start };
    let refused = ada.start(&wanted, &WishKey::random()).await.unwrap_err();
    assert_eq!(refused.kind(), Some(ProblemKind::NoAgent), "{refused}");

    admin.undrain(&first.agent).await.unwrap();
    admin.undrain(&first.agent).await.unwrap();
    assert_eq!(start(&ada, Want::Start).await.agent, first.agent);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_at_the_deadline_ends_also_when_the_leader_died_before_it() {
    let (mut cluster, admin, agents) = two_desks().await;
    let (ada, bob) = (log_in(&cluster, "ada").await, log_in(&cluster, "bob").await);
    let (mine, theirs) = (start(&ada, Want::Start).await, start(&bob, Want::Start).await);
    assert_ne!(mine.agent, theirs.agent);
    admin.drain(&mine.agent, &end_in(4)).await.unwrap();
    let leader = cluster.leader(&admin).await.unwrap();
    cluster.kill_broker(leader);
    let name = if mine.agent == agents[0].id { "desk0" } else { "desk1" };
    let why = ended(&admin, &mine.id).await.reason.unwrap();
    assert_eq!(why, format!("ended by the maintenance of {name}"));
    let others = ada.connect(&mine.id, &WishKey::random()).await.unwrap_err();
    assert_eq!(others.kind(), Some(ProblemKind::SessionEnded), "{others}");
    let kept = bob.connect(&theirs.id, &WishKey::random()).await.unwrap().session;
    assert_eq!(kept.state, SessionState::Running, "the other agent is not drained");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_is_cancelled_or_keeps_ends_nothing() {
    let (cluster, admin, _agents) = two_desks().await;
    let (ada, bob) = (log_in(&cluster, "ada").await, log_in(&cluster, "bob").await);
    let cancelled = start(&ada, Want::Start).await;
    let other = start(&bob, Want::Start).await;
    assert_ne!(cancelled.agent, other.agent);
    admin.drain(&cancelled.agent, &end_in(2)).await.unwrap();
    admin.undrain(&cancelled.agent).await.unwrap();
    let keeps = DrainRequest { then: AtDeadline::Keep, ..end_in(1) };
    admin.drain(&other.agent, &keeps).await.unwrap();
    // Both deadlines have passed when one has that came later.
    let ends_last = ended_by_drain_of_another(&cluster, &admin).await;
    assert_eq!(ends_last.state, SessionState::Ended);
    for (api, session) in [(&ada, &cancelled), (&bob, &other)] {
        let now = api.connect(&session.id, &WishKey::random()).await.unwrap().session;
        assert_eq!(now.state, SessionState::Running);
    }
}

/// A third agent gets a session and is drained with a later deadline than any before; the session's end.
async fn ended_by_drain_of_another(cluster: &Cluster, admin: &Api) -> Session {
    let third = PlayedAgent::join(cluster, admin, "desk2", 1).await.unwrap();
    until("the agent has told its load", DEADLINE, async || {
        let all = admin.agents().await.ok()?.agents;
        all.iter().any(|it| it.id == third.id && it.reachable && it.load.is_some()).then_some(())
    })
    .await
    .unwrap();
    let session = start(&log_in(cluster, "kim").await, Want::Start).await;
    assert_eq!(session.agent, third.id, "it is the emptiest");
    admin.drain(&third.id, &end_in(3)).await.unwrap();
    ended(admin, &session.id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_drains_hosts_by_the_command_line_in_waves() {
    let (cluster, admin, _agents) = two_desks().await;
    let computer = Computer::new();
    computer.log_in(&cluster, cluster.admin());
    let ada = log_in(&cluster, "ada").await;
    let first = start(&ada, Want::Start).await;
    let names: Vec<_> = admin.agents().await.unwrap().agents;
    let name = &names.iter().find(|it| it.id == first.agent).unwrap().name;
    let other = &names.iter().find(|it| it.id != first.agent).unwrap().name;

    failed(&computer.run(&["agent", "drain", "nobody"]), 1, "no agent of this cluster is named");
    let text = format!("[agent.{name}]\nmax_sessions = 1\n[agent.{other}]\nmax_sessions = 1");
    let request = ConfigRequest { base: 0, text, note: None };
    admin.put_config(&request).await.unwrap();
    let bob = log_in(&cluster, "bob").await;
    start(&bob, Want::Start).await;
    failed(&computer.run(&["agent", "drain", name]), 1, "--force");
    assert!(admin.agents().await.unwrap().agents.iter().all(|it| it.drain.is_none()));

    // The second wave begins when the first is empty.
    let waves = ["agent", "drain", name, other, "--force", "--waves", "1"];
    let ended = ["--then", "end", "--deadline", "2s", "--message", "A new disk."];
    let output = computer.run(&[&waves[..], &ended].concat());
    let said = String::from_utf8_lossy(&succeeded(&output).stderr).into_owned();
    let place = |what: String| said.find(&what).unwrap_or_else(|| panic!("{what}: {said}"));
    assert!(place(format!("{name}: 0 left")) < place(format!("{other} takes no new")), "{said}");
    place(format!("{other}: 0 left"));
    let all = admin.agents().await.unwrap().agents;
    let message = |it: &abide_api::Agent| it.drain.as_ref().and_then(|it| it.message.clone());
    assert!(all.iter().all(|it| message(it).as_deref() == Some("A new disk.")), "{all:?}");
    let list = succeeded(&computer.run(&["agent", "list"])).stdout.clone();
    assert!(String::from_utf8_lossy(&list).contains("drained, empty"));

    succeeded(&computer.run(&["agent", "undrain", name, other]));
    assert!(admin.agents().await.unwrap().agents.iter().all(|it| it.drain.is_none()));
    let logs = cluster.brokers().iter().map(|it| it.dir.join("data/audit.jsonl"));
    let all: String = logs.filter_map(|log| std::fs::read_to_string(log).ok()).collect();
    assert!(all.contains("\"drain\"") && all.contains("\"undrain\""), "{all}");
}
