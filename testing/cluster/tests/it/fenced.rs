//! What is acknowledged under `fenced` is never lost: whoever comes back from older data hears of it from agents,
//! or does not serve.

use abide_client::WishKey;
use abide_cluster::Cluster;

use crate::pair::{
    NO_QUORUM, SERVES, STALE, ha, leader, pair_with, start, until_answers, until_both_vote,
    until_long_silent,
};

const ON_PROOF: [&str; 2] = ["activate", "--peer-is-down"];

/// A host of the same number is both broker and agent: it loses its power.
fn power_off(cluster: &mut Cluster, host: usize) {
    cluster.kill_broker(host);
    cluster.kill_agent(host);
}

fn power_on(cluster: &mut Cluster, host: usize) {
    cluster.launch_broker(host).unwrap();
    cluster.start_agent(host).unwrap();
}

/// Of three agents two hear of the takeover; the third one alone, which did not, is no witness for the peer.
#[tokio::test(flavor = "multi_thread")]
async fn who_went_on_and_died_at_once_is_not_forgotten_by_a_peer_that_hears_none_of_its_agents() {
    let (mut cluster, admin) = pair_with("fenced", 3).await;
    let user = cluster.add_user("ada").unwrap();
    let api = cluster.log_in(&user).await.unwrap();
    let (active, standby) = leader(&cluster, &admin).await;
    assert_eq!(ha(&cluster, active, &["activate"]).await, SERVES);
    cluster.kill_agent(2);
    cluster.kill_broker(standby);
    assert_eq!(ha(&cluster, active, &ON_PROOF).await, SERVES);
    let session = api.start(&start(), &WishKey::random()).await.unwrap().session.id;
    cluster.kill_broker(active);
    (0..2).for_each(|agent| cluster.kill_agent(agent));

    cluster.start_agent(2).unwrap();
    cluster.launch_broker(standby).unwrap();
    until_answers(&cluster, standby).await;
    assert_eq!(ha(&cluster, standby, &ON_PROOF).await, STALE, "one of three is no witness");
    cluster.start_agent(0).unwrap();
    assert_eq!(ha(&cluster, standby, &ON_PROOF).await, STALE, "one of two knows");
    cluster.launch_broker(active).unwrap();
    until_both_vote(&cluster, &admin).await;
    assert_eq!(api.connect(&session, &WishKey::random()).await.unwrap().session.id, session);
}

/// There is no third host: the one that lives goes on, and the one that comes back alone waits for a person.
#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_alone_lose_nothing_to_the_one_that_was_away() {
    let (mut cluster, admin) = pair_with("fenced", 2).await;
    let user = cluster.add_user("ada").unwrap();
    let api = cluster.log_in(&user).await.unwrap();
    let (active, standby) = leader(&cluster, &admin).await;
    assert_eq!(ha(&cluster, active, &["activate"]).await, SERVES);
    // As a host without power looks from outside: nobody answers, and no connection breaks.
    cluster.freeze_broker(active);
    cluster.freeze_agent(active);
    until_long_silent(&cluster, standby).await;
    let began = std::time::Instant::now();
    assert_eq!(ha(&cluster, standby, &ON_PROOF).await, SERVES);
    eprintln!("on proof, after {:?}", began.elapsed());
    let session = api.start(&start(), &WishKey::random()).await.unwrap().session.id;
    eprintln!("started after {:?}", began.elapsed());
    for host in [active, standby] {
        power_off(&mut cluster, host);
    }
    power_on(&mut cluster, active);
    until_answers(&cluster, active).await;
    assert_eq!(ha(&cluster, active, &ON_PROOF).await, STALE);
    power_on(&mut cluster, standby);
    until_both_vote(&cluster, &admin).await;
    assert_eq!(api.connect(&session, &WishKey::random()).await.unwrap().session.id, session);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_goes_on_while_fewer_than_half_of_the_agents_can_hear_of_it() {
    let (mut cluster, admin) = pair_with("fenced", 3).await;
    let user = cluster.add_user("ada").unwrap();
    let api = cluster.log_in(&user).await.unwrap();
    let (active, standby) = leader(&cluster, &admin).await;
    (0..2).for_each(|agent| cluster.kill_agent(agent));
    cluster.kill_broker(active);
    let late = [&ON_PROOF[..], &["--timeout", "4"]].concat();
    let (code, words) = cluster.ha(standby, &late).await.unwrap();
    assert_eq!(code, NO_QUORUM, "{words}");
    assert!(words.contains("fewer agents are heard"), "{words}");
    let (_, words) = cluster.ha(standby, &["status"]).await.unwrap();
    assert!(words.contains("1 agents are heard, and 2 must be"), "{words}");
    // Its order stands, and so does the proof.
    let waiting = tokio::spawn(async move { api.start(&start(), &WishKey::random()).await });
    cluster.start_agent(0).unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(ha(&cluster, standby, &["activate"]).await, SERVES);
    cluster.launch_broker(active).unwrap();
    until_both_vote(&cluster, &admin).await;
}
