//! A broker joins, and a lost one comes back with nothing, while people start sessions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use abide_api::{BrokerRole, StartRequest, Want};
use abide_client::{Api, WishKey};
use tokio::task::JoinSet;

use crate::three_brokers::{three, until_standing};

const PEOPLE: usize = 8;

/// How many sessions are started at least; `ABIDE_STARTS` says otherwise.
fn starts() -> usize {
    std::env::var("ABIDE_STARTS").map_or(200, |number| number.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_is_added_while_another_is_lost_and_people_start_sessions() {
    let (mut cluster, admin) = three().await;
    let done = Arc::new(AtomicUsize::new(0));
    let is_over = Arc::new(AtomicUsize::new(0));
    let mut people = JoinSet::new();
    for number in 0..PEOPLE {
        let user = cluster.add_user(&format!("user{number}")).unwrap();
        let api = cluster.log_in(&user).await.unwrap();
        people.spawn(work(api, Arc::clone(&done), Arc::clone(&is_over)));
    }
    until_started(&done, starts() / 10).await;

    let leader = cluster.leader(&admin).await.unwrap();
    let lost = if leader == 1 { 2 } else { 1 };
    cluster.kill_broker(lost);
    std::fs::remove_dir_all(cluster.brokers()[lost].dir.join("data")).unwrap();
    cluster.add_broker(3).await.unwrap();
    until_standing(&admin, |now| now.voters == 4).await;
    until_started(&done, starts() / 2).await;

    cluster.start_broker(lost).await.unwrap();
    let is_whole = |it: &BrokerRole| matches!(it, BrokerRole::Leader | BrokerRole::Follower);
    until_standing(&admin, |now| {
        now.voters == 4 && now.can_lose == 1 && now.brokers.iter().all(|it| is_whole(&it.role))
    })
    .await;
    until_started(&done, starts()).await;
    is_over.store(1, Ordering::Relaxed);

    let mut acknowledged = BTreeSet::new();
    while let Some(started) = people.join_next().await {
        acknowledged.extend(started.unwrap());
    }
    let all = admin.sessions().await.unwrap().sessions;
    let known: BTreeSet<String> = all.into_iter().map(|it| it.id).collect();
    assert_eq!(acknowledged, known, "what was acknowledged is there, and nothing twice");
    eprintln!("{} sessions were started meanwhile", known.len());
}

/// Starts one after the other, each repeated as if the answer had been lost, and ends it.
async fn work(api: Api, done: Arc<AtomicUsize>, is_over: Arc<AtomicUsize>) -> Vec<String> {
    let request = StartRequest { profile: None, want: Want::Start };
    let mut sessions = Vec::new();
    while is_over.load(Ordering::Relaxed) == 0 {
        let key = WishKey::random();
        let session = api.start(&request, &key).await.unwrap().session.id;
        assert_eq!(api.start(&request, &key).await.unwrap().session.id, session);
        api.end(&session).await.unwrap();
        sessions.push(session);
        done.fetch_add(1, Ordering::Relaxed);
    }
    sessions
}

async fn until_started(done: &AtomicUsize, number: usize) {
    let enough = async || (done.load(Ordering::Relaxed) >= number).then_some(());
    let patience = std::time::Duration::from_secs(600);
    abide_cluster::until("enough sessions have been started", patience, enough).await.unwrap();
}
