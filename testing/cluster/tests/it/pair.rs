//! Two brokers and whoever decides between them: whichever dies, people get in, nothing acknowledged is lost,
//! and who comes back is brought up to date by itself.

use std::time::{Duration, Instant};

use abide_api::{BrokerRole, StartRequest, Want};
use abide_client::{Api, WishKey};
use abide_cluster::{Cluster, Options, until};

use crate::three_brokers::until_standing;

const DEADLINE: Duration = Duration::from_secs(30);
const SERVES: i32 = 0;
const FOLLOWER: i32 = 10;
const NO_QUORUM: i32 = 12;
const STALE: i32 = 13;
const DOWN: i32 = 14;
const UNPROVEN: i32 = 15;

async fn pair(takeover: &'static str) -> (Cluster, Api) {
    let options =
        Options { brokers: 2, agents: 2, pair: Some(takeover), ..Options::new().unwrap() };
    let cluster = Cluster::start(options).await.unwrap();
    let admin = cluster.log_in(cluster.admin()).await.unwrap();
    (cluster, admin)
}

async fn ha(cluster: &Cluster, index: usize, arguments: &[&str]) -> i32 {
    let (code, words) = cluster.ha(index, arguments).await.unwrap();
    eprintln!("broker{} ha {}: {code} {words}", index + 1, arguments.join(" "));
    code
}

async fn until_ha(cluster: &Cluster, index: usize, wanted: i32) {
    until("the broker stands as expected", DEADLINE, async || {
        let (code, _) = cluster.ha(index, &["status"]).await.ok()?;
        (code == wanted).then_some(())
    })
    .await
    .unwrap();
}

/// The one that leads, and the other.
async fn leader(cluster: &Cluster, admin: &Api) -> (usize, usize) {
    let leader = cluster.leader(admin).await.unwrap();
    (leader, 1 - leader)
}

async fn until_both_vote(admin: &Api) {
    until_standing(admin, |now| {
        let is_whole = |it: &BrokerRole| matches!(it, BrokerRole::Leader | BrokerRole::Follower);
        now.voters == 2 && now.brokers.iter().all(|it| is_whole(&it.role))
    })
    .await;
}

fn start() -> StartRequest {
    StartRequest { profile: None, want: Want::Start }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_dies_the_other_is_activated_and_the_dead_one_comes_back_by_itself() {
    let (mut cluster, admin) = pair("unfenced").await;
    let user = cluster.add_user("ada").unwrap();
    let api = cluster.log_in(&user).await.unwrap();
    let (active, standby) = leader(&cluster, &admin).await;
    assert_eq!(ha(&cluster, active, &["activate"]).await, SERVES);
    assert_eq!(ha(&cluster, standby, &["status"]).await, FOLLOWER);
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(api.start(&start(), &WishKey::random()).await.unwrap().session.id);
    }

    let (mut active, mut standby) = (active, standby);
    for emptied in [false, true] {
        cluster.kill_broker(active);
        assert_eq!(ha(&cluster, active, &["status"]).await, DOWN);
        let began = Instant::now();
        assert_eq!(ha(&cluster, standby, &["activate"]).await, SERVES);
        let activated = began.elapsed();
        let new = api.start(&start(), &WishKey::random()).await.unwrap().session.id;
        eprintln!("activated after {activated:?}, started after {:?}", began.elapsed());
        sessions.push(new);
        for session in &sessions {
            let again = api.connect(session, &WishKey::random()).await.unwrap().session.id;
            assert_eq!(again, *session);
        }
        assert_eq!(ha(&cluster, standby, &["status"]).await, SERVES);

        if emptied {
            let data = cluster.brokers()[active].dir.join("data");
            std::fs::remove_dir_all(data).unwrap();
        }
        cluster.launch_broker(active).unwrap();
        until_both_vote(&admin).await;
        until_ha(&cluster, active, FOLLOWER).await;
        (active, standby) = (standby, active);
    }
    let all = api.sessions().await.unwrap().sessions;
    assert_eq!(all.len(), sessions.len(), "{all:?}");
}
