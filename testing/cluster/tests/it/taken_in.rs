//! A broker of a pair that falls, loses its data folder and comes back, also while it is being taken in: the
//! pair is whole again by itself, and nobody is logged out.

use std::time::{Duration, Instant};

use abide_client::{Api, Brokers, OneSecret};
use abide_cluster::{Cluster, Options, clock_off_by, ensure_all_vote, until, until_ok};
use anyhow::{Context, ensure};
use tokio::time::sleep;
use zeroize::Zeroizing;

const DEADLINE: Duration = Duration::from_secs(30);
const SERVES: i32 = 0;
const FOLLOWER: i32 = 10;
const LEARNER: i32 = 11;
const NO_QUORUM: i32 = 12;
/// Longer than a key's certificate may be younger than what the key has signed.
const LATER: &str = "+600";

/// When the broker that is being taken in falls.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So long after its start.
    After(Duration),
    /// As soon as `abide ha status` exits with this.
    Says(i32),
}

/// A pair, and somebody logged in at each broker, long ago by the brokers' clocks.
async fn pair_in_use() -> (Cluster, Vec<Api>) {
    let options =
        Options { brokers: 2, agents: 0, pair: Some("unfenced"), ..Options::new().unwrap() };
    let mut cluster = Cluster::start(options).await.unwrap();
    let mut logins = Vec::new();
    for broker in cluster.brokers() {
        let only = vec![broker.url.clone()];
        let ways = Brokers::new(only, &cluster.trust().unwrap()).unwrap();
        let mut secret = OneSecret(Zeroizing::new(cluster.admin().password.clone()));
        let login = ways.login(&cluster.admin().name, &mut secret).await.unwrap();
        logins.push(Api::new(cluster.ways().unwrap(), login.token));
    }
    for broker in 0..2 {
        cluster.kill_broker(broker);
        cluster.put_broker_under(broker, &clock_off_by(LATER).unwrap());
    }
    for broker in 0..2 {
        cluster.launch_broker(broker).unwrap();
    }
    until_whole(&cluster, &logins).await.unwrap();
    (cluster, logins)
}

/// Both vote, by the leader's account and by their own, and whoever was logged in still is.
async fn until_whole(cluster: &Cluster, logins: &[Api]) -> anyhow::Result<()> {
    until_ok("the pair is whole", DEADLINE, async || {
        ensure_all_vote(&logins[0].cluster_by_leader().await?, 2)?;
        let (one, two) = (cluster.ha(0, &["status"]).await?, cluster.ha(1, &["status"]).await?);
        let mut codes = [one.0, two.0];
        codes.sort_unstable();
        ensure!(codes == [SERVES, FOLLOWER], "broker1: {one:?}, broker2: {two:?}");
        Ok(())
    })
    .await?;
    for (number, api) in (1..).zip(logins) {
        api.sessions().await.with_context(|| format!("logged in at broker{number}"))?;
    }
    Ok(())
}

fn empty(cluster: &Cluster, index: usize) {
    let data = cluster.brokers()[index].dir.join("data");
    // It may have fallen before it made it.
    let _ = std::fs::remove_dir_all(data);
}

/// The active one falls, and the other one is activated. Gives who fell.
async fn active_one_falls(cluster: &mut Cluster, logins: &[Api]) -> usize {
    let active = cluster.leader(&logins[0]).await.unwrap();
    cluster.kill_broker(active);
    let (code, words) = cluster.ha(1 - active, &["activate"]).await.unwrap();
    assert_eq!(code, SERVES, "{words}");
    active
}

async fn until_says(cluster: &Cluster, index: usize, wanted: i32) {
    until_ok("it stands as expected", DEADLINE, async || {
        let (code, words) = cluster.ha(index, &["status"]).await?;
        ensure!(code == wanted, "broker{} says {code}: {words}", index + 1);
        Ok(())
    })
    .await
    .unwrap();
}

async fn wait_for(cluster: &Cluster, index: usize, moment: Moment) {
    match moment {
        Moment::After(time) => sleep(time).await,
        Moment::Says(wanted) => {
            let says = async || {
                let (code, _) = cluster.ha(index, &["status"]).await.ok()?;
                // It may be past that already.
                (code == wanted || code == FOLLOWER).then_some(())
            };
            until("it has come so far", DEADLINE, says).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_logged_in_stays_so_though_the_broker_that_let_them_in_lost_its_folder() {
    let (mut cluster, logins) = pair_in_use().await;
    for _ in 0..2 {
        let fallen = active_one_falls(&mut cluster, &logins).await;
        empty(&cluster, fallen);
        cluster.launch_broker(fallen).unwrap();
        until_whole(&cluster, &logins).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_has_lost_its_data_one_order_of_either_is_enough() {
    let (mut cluster, logins) = pair_in_use().await;
    for emptied_is_asked in [true, false] {
        let leader = cluster.leader(&logins[0]).await.unwrap();
        let emptied = 1 - leader;
        cluster.kill_broker(emptied);
        empty(&cluster, emptied);
        until_says(&cluster, leader, NO_QUORUM).await;
        cluster.launch_broker(emptied).unwrap();
        until_says(&cluster, emptied, LEARNER).await;
        let asked = if emptied_is_asked { emptied } else { leader };
        let (code, words) = cluster.ha(asked, &["activate"]).await.unwrap();
        assert_eq!(code, SERVES, "{words}");
        until_whole(&cluster, &logins).await.unwrap();
        cluster.ha(asked, &["release"]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordered_stop_leaves_nobody_to_go_on_whose_data_are_gone() {
    let (mut cluster, logins) = pair_in_use().await;
    let leader = cluster.leader(&logins[0]).await.unwrap();
    cluster.kill_broker(1 - leader);
    // The leader has heard it less than a second ago.
    cluster.stop_broker(leader);
    empty(&cluster, 1 - leader);
    cluster.launch_broker(leader).unwrap();
    until_says(&cluster, leader, NO_QUORUM).await;
    let (code, words) = cluster.ha(leader, &["activate"]).await.unwrap();
    assert_eq!(code, SERVES, "{words}");
    cluster.launch_broker(1 - leader).unwrap();
    until_whole(&cluster, &logins).await.unwrap();
}

/// `ABIDE_ROUNDS` plays so many.
#[tokio::test(flavor = "multi_thread")]
async fn a_pair_becomes_whole_whenever_the_returning_one_falls_again_and_is_emptied() {
    let (mut cluster, logins) = pair_in_use().await;
    let rounds = std::env::var("ABIDE_ROUNDS").map_or(8, |it| it.parse().unwrap());
    for round in 0..rounds {
        let fallen = active_one_falls(&mut cluster, &logins).await;
        let mut played = Vec::new();
        cluster.launch_broker(fallen).unwrap();
        for _ in 0..fastrand::usize(1..=3) {
            let moment = match fastrand::u8(0..6) {
                0 => Moment::Says(LEARNER),
                1 => Moment::Says(FOLLOWER),
                _ => Moment::After(Duration::from_millis(fastrand::u64(0..900))),
            };
            let (in_order, emptied) = (fastrand::bool(), fastrand::u8(0..4) > 0);
            wait_for(&cluster, fallen, moment).await;
            match in_order {
                true => cluster.stop_broker(fallen),
                false => cluster.kill_broker(fallen),
            }
            if emptied {
                empty(&cluster, fallen);
            }
            cluster.launch_broker(fallen).unwrap();
            played.push(format!("{moment:?}, in order: {in_order}, emptied: {emptied}"));
        }
        let began = Instant::now();
        let whole = until_whole(&cluster, &logins).await;
        eprintln!("round {round}: {played:?}: whole after {:?}", began.elapsed());
        whole.unwrap();
    }
}
