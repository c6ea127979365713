//! A thousand people who start at once, on three brokers and twenty played agents of three weights.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use abide_api::Agent;
use abide_client::Api;
use abide_cluster::{Cluster, Options, PlayedAgent, Storm, until};
use abide_model::{AtDeadline, Change, Drain, Timestamp};
use rustix::process::{Pid, Signal, kill_process};

const STORM: Storm = Storm { people: 1_000, within: Duration::from_secs(10) };
const DEADLINE: Duration = Duration::from_secs(60);

/// Agents `desk0` to `desk19`, of the weights 1, 2 and 4 in turn.
async fn cluster() -> (Cluster, Api, Vec<PlayedAgent>) {
    let options = Options { brokers: 3, agents: 0, ..Options::new().unwrap() };
    let cluster = Cluster::start(options).await.unwrap();
    let admin = cluster.log_in(cluster.admin()).await.unwrap();
    let mut agents = Vec::new();
    for n in 0..20 {
        let weight = [1, 2, 4][n % 3];
        agents
            .push(PlayedAgent::join(&cluster, &admin, &format!("desk{n}"), weight).await.unwrap());
    }
    until("every agent has told its load", DEADLINE, async || {
        let all = admin.agents().await.ok()?.agents;
        let is_there = |it: &Agent| it.reachable && it.load.is_some();
        (all.len() == agents.len() && all.iter().all(is_there)).then_some(())
    })
    .await
    .unwrap();
    (cluster, admin, agents)
}

/// The ids of the sessions that the table has on an agent.
async fn sessions_on(admin: &Api, agent: &str) -> BTreeSet<String> {
    let all = admin.sessions().await.unwrap().sessions;
    all.into_iter().filter(|it| it.agent == agent).map(|it| it.id).collect()
}

async fn drain(cluster: &Cluster, admin: &Api, agent: &str) {
    let plan = Drain {
        by: "admin".into(),
        since: Timestamp(0),
        deadline: None,
        message: "".into(),
        then: AtDeadline::Keep,
    };
    let change = Change::Drain { agent: agent.parse().unwrap(), plan: Some(plan.into()) };
    until("the agent is drained", DEADLINE, async || {
        cluster.commit(admin, change.clone()).await.ok()
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_is_spread_within_one_session_of_the_weights_and_nobody_is_refused() {
    let (cluster, admin, agents) = cluster().await;
    let started = STORM.run(&cluster).await.unwrap();
    assert_eq!(started.len(), STORM.people);
    let sessions: HashSet<_> = started.iter().map(|it| &it.session.id).collect();
    assert_eq!(sessions.len(), STORM.people, "each has one of their own");
    let weights: u32 = agents.iter().map(|it| it.weight).sum();
    let mut counts = BTreeMap::new();
    for it in &started {
        *counts.entry(it.session.agent.as_str()).or_insert(0_u32) += 1;
    }
    for agent in &agents {
        let ideal = f64::from(agent.weight) / f64::from(weights) * STORM.people as f64;
        let has = counts.get(agent.id.as_str()).copied().unwrap_or(0);
        assert!((f64::from(has) - ideal).abs() < 1.0, "{has} instead of {ideal}: {counts:?}");
        assert_eq!(agent.running().len(), has as usize, "the table and the ledger agree");
        assert_eq!(sessions_on(&admin, &agent.id).await.len(), has as usize);
    }
    assert_eq!(started.iter().map(|it| it.repeats).sum::<u32>(), 0, "each at its first try");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_outlasts_the_death_of_an_agent_a_drain_and_the_death_of_the_leader() {
    let (mut cluster, admin, mut agents) = cluster().await;
    let (dead, drained) = (2, 5);
    let storm = STORM.run(&cluster);
    let faults = async {
        tokio::time::sleep(STORM.within / 5).await;
        agents[dead].die().await;
        let id = agents[dead].id.clone();
        until("the agent is unreachable", DEADLINE, async || {
            let all = admin.agents().await.ok()?.agents;
            all.iter().any(|it| it.id == id && !it.reachable).then_some(())
        })
        .await
        .unwrap();
        let on_dead = sessions_on(&admin, &id).await;
        drain(&cluster, &admin, &agents[drained].id).await;
        let on_drained = sessions_on(&admin, &agents[drained].id).await;
        (on_dead, on_drained)
    };
    let leader = cluster.leader(&admin).await.unwrap();
    let pid = cluster.brokers()[leader].pid().unwrap();
    let ends = async {
        tokio::time::sleep(STORM.within / 2).await;
        kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    };
    let (started, (on_dead, on_drained), ()) = tokio::join!(storm, faults, ends);
    let started = started.unwrap();
    cluster.kill_broker(leader);
    assert_eq!(started.len(), STORM.people, "whoever asked was served");

    let all = admin.sessions().await.unwrap().sessions;
    let ids: HashSet<_> = all.iter().map(|it| it.id.clone()).collect();
    for it in &started {
        assert!(ids.contains(&it.session.id), "{} of {} is lost", it.session.id, it.user);
    }
    for agent in agents.iter().enumerate().filter(|(n, _)| *n != dead).map(|(_, it)| it) {
        let rows: HashSet<_> = agent.running().iter().map(ToString::to_string).collect();
        let mine = started.iter().filter(|it| it.session.agent == agent.id);
        for it in mine {
            assert!(rows.contains(&it.session.id), "{} does not run", it.session.id);
        }
    }
    // Who was placed on the dead agent before it counted as dead was placed anew, if it had not run.
    let live = |user: &str| {
        let mine = all.iter().filter(|it| it.user == user && it.ended_at.is_none());
        mine.filter(|it| it.reason.is_none()).count()
    };
    for it in &started {
        assert_eq!(live(&it.user), 1, "{} has {:?}", it.user, it.session);
    }
    let now_on_dead = sessions_on(&admin, &agents[dead].id).await;
    assert!(now_on_dead.is_subset(&on_dead), "placed on the dead agent");
    let now_on_drained = sessions_on(&admin, &agents[drained].id).await;
    assert_eq!(now_on_drained, on_drained, "placed on the drained agent");
    assert!(!on_drained.is_empty(), "it had some before");
}
