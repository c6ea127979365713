//! Three brokers: whichever dies, people get in, and whatever was acknowledged is there.

use std::time::{Duration, Instant};

use abide_api::{BrokerRole, Cluster as Standing, SessionState, StartRequest, Want};
use abide_client::{Api, WishKey};
use abide_cluster::{Cluster, Options, until};

const DEADLINE: Duration = Duration::from_secs(30);

pub async fn three() -> (Cluster, Api) {
    let options = Options { brokers: 3, agents: 2, ..Options::new().unwrap() };
    let cluster = Cluster::start(options).await.unwrap();
    let admin = cluster.log_in(cluster.admin()).await.unwrap();
    until_standing(&admin, |now| now.can_lose == 1).await;
    (cluster, admin)
}

pub async fn until_standing(api: &Api, fits: impl Fn(&Standing) -> bool) -> Standing {
    until("the brokers stand as expected", DEADLINE, async || {
        api.cluster().await.ok().filter(|now| fits(now))
    })
    .await
    .unwrap()
}

fn start() -> StartRequest {
    StartRequest { profile: None, want: Want::Start }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_dies_and_starts_and_reconnects_go_on() {
    let (mut cluster, admin) = three().await;
    let user = cluster.add_user("ada").unwrap();
    let api = cluster.log_in(&user).await.unwrap();
    let session = api.start(&start(), &WishKey::random()).await.unwrap().session;
    assert_eq!(session.state, SessionState::Running);

    for _ in 0..3 {
        let leader = cluster.leader(&admin).await.unwrap();
        let key = WishKey::random();
        cluster.kill_broker(leader);
        let began = Instant::now();
        let again = api.connect(&session.id, &WishKey::random()).await.unwrap().session;
        let connected = began.elapsed();
        let another = api.start(&start(), &key).await.unwrap().session;
        eprintln!("leader killed: connect after {connected:?}, start after {:?}", began.elapsed());
        assert_eq!(again.id, session.id);
        let repeated = api.start(&start(), &key).await.unwrap().session;
        assert_eq!(repeated.id, another.id);

        cluster.start_broker(leader).await.unwrap();
        until_standing(&admin, |now| now.can_lose == 1).await;
    }
    let all = api.sessions().await.unwrap().sessions;
    assert_eq!(all.len(), 4, "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_an_emptied_folder_comes_back_by_itself() {
    let (mut cluster, admin) = three().await;
    let user = cluster.add_user("ada").unwrap();
    let api = cluster.log_in(&user).await.unwrap();
    let session = api.start(&start(), &WishKey::random()).await.unwrap().session;
    let before = until_standing(&admin, |now| now.can_lose == 1).await;

    cluster.kill_broker(0);
    std::fs::remove_dir_all(cluster.brokers()[0].dir.join("data")).unwrap();
    cluster.start_broker(0).await.unwrap();
    let id = cluster.brokers()[0].id.clone();
    let node =
        |standing: &Standing| standing.brokers.iter().find(|it| it.id == id).and_then(|it| it.node);
    let after = until_standing(&admin, |now| {
        now.can_lose == 1 && now.voters == 3 && node(now) != node(&before)
    })
    .await;
    assert!(after.brokers.iter().all(|it| it.role != BrokerRole::Unreachable), "{after:?}");
    // It counts: another may be lost now.
    cluster.kill_broker(1);
    assert_eq!(api.connect(&session.id, &WishKey::random()).await.unwrap().session.id, session.id);
}
