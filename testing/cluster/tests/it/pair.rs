//! Two brokers and whoever decides between them: whichever dies, people get in, nothing acknowledged is lost,
//! and who comes back is brought up to date by itself.

use std::time::{Duration, Instant};

use abide_api::{BrokerRole, StartRequest, Want};
use abide_client::{Api, WishKey};
use abide_cluster::{Cluster, Options, until};
use serde_json::Value;

use crate::three_brokers::until_standing;

const DEADLINE: Duration = Duration::from_secs(30);
pub(crate) const SERVES: i32 = 0;
const FOLLOWER: i32 = 10;
pub(crate) const NO_QUORUM: i32 = 12;
pub(crate) const STALE: i32 = 13;
const DOWN: i32 = 14;
const UNPROVEN: i32 = 15;

async fn pair(takeover: &'static str) -> (Cluster, Api) {
    pair_with(takeover, 2).await
}

pub(crate) async fn pair_with(takeover: &'static str, agents: u8) -> (Cluster, Api) {
    let options = Options { brokers: 2, agents, pair: Some(takeover), ..Options::new().unwrap() };
    let cluster = Cluster::start(options).await.unwrap();
    let admin = cluster.log_in(cluster.admin()).await.unwrap();
    (cluster, admin)
}

pub(crate) async fn ha(cluster: &Cluster, index: usize, arguments: &[&str]) -> i32 {
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

/// A broker that was only just launched can be asked.
pub(crate) async fn until_answers(cluster: &Cluster, index: usize) {
    until("the broker answers on its host", DEADLINE, async || {
        ha_code(cluster, index).await.filter(|code| *code != DOWN)
    })
    .await
    .unwrap();
}

/// The one that leads, and the other.
pub(crate) async fn leader(cluster: &Cluster, admin: &Api) -> (usize, usize) {
    let leader = cluster.leader(admin).await.unwrap();
    (leader, 1 - leader)
}

/// Both by the leader's account, and by each one's own.
pub(crate) async fn until_both_vote(cluster: &Cluster, admin: &Api) {
    until_standing(admin, |now| {
        let is_whole = |it: &BrokerRole| matches!(it, BrokerRole::Leader | BrokerRole::Follower);
        now.voters == 2 && now.brokers.iter().all(|it| is_whole(&it.role))
    })
    .await;
    until("each knows that both vote", DEADLINE, async || {
        let mut codes = [ha_code(cluster, 0).await?, ha_code(cluster, 1).await?];
        codes.sort_unstable();
        (codes == [SERVES, FOLLOWER]).then_some(())
    })
    .await
    .unwrap();
}

async fn ha_code(cluster: &Cluster, index: usize) -> Option<i32> {
    cluster.ha(index, &["status"]).await.ok().map(|(code, _)| code)
}

async fn details(cluster: &Cluster, index: usize) -> Value {
    let (_, words) = cluster.ha(index, &["status", "--json"]).await.unwrap();
    let status: Value = serde_json::from_str(&words).unwrap();
    status["details"].clone()
}

/// The claim that it stands on.
async fn claimant(cluster: &Cluster, index: usize) -> (u64, u64) {
    let details = details(cluster, index).await;
    (details["generation"].as_u64().unwrap(), details["claimant"].as_u64().unwrap())
}

/// Waits until silence would have been enough, twice over.
pub(crate) async fn until_long_silent(cluster: &Cluster, index: usize) {
    until("it has been silent for long", DEADLINE, async || {
        let silent = details(cluster, index).await["silent_ms"].as_u64()?;
        (silent > 2_500).then_some(())
    })
    .await
    .unwrap();
}

pub(crate) fn start() -> StartRequest {
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
        until_both_vote(&cluster, &admin).await;
        until_ha(&cluster, active, FOLLOWER).await;
        (active, standby) = (standby, active);
    }
    let all = api.sessions().await.unwrap().sessions;
    assert_eq!(all.len(), sessions.len(), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standby_dies_and_writes_go_on_by_themselves_after_peer_timeout() {
    let (mut cluster, admin) = pair("unfenced").await;
    let user = cluster.add_user("ada").unwrap();
    let api = cluster.log_in(&user).await.unwrap();
    let (active, standby) = leader(&cluster, &admin).await;
    assert_eq!(ha(&cluster, active, &["activate"]).await, SERVES);
    for _ in 0..3 {
        cluster.kill_broker(standby);
        let began = Instant::now();
        api.start(&start(), &WishKey::random()).await.unwrap();
        let took = began.elapsed();
        eprintln!("standby killed, started after {took:?}");
        assert!(took > Duration::from_millis(900), "the peer was not given its time");
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!(ha(&cluster, active, &["status"]).await, SERVES);
        cluster.launch_broker(standby).unwrap();
        until_both_vote(&cluster, &admin).await;
    }
    assert_eq!(api.sessions().await.unwrap().sessions.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn fenced_goes_on_alone_only_on_proof() {
    let (mut cluster, admin) = pair("fenced").await;
    let user = cluster.add_user("ada").unwrap();
    let api = cluster.log_in(&user).await.unwrap();
    let (active, standby) = leader(&cluster, &admin).await;
    assert_eq!(ha(&cluster, active, &["activate"]).await, SERVES);
    let session = api.start(&start(), &WishKey::random()).await.unwrap().session.id;
    // A peer that answers is not down, whoever says so.
    assert_eq!(ha(&cluster, active, &["activate", "--peer-is-down"]).await, SERVES);
    assert_eq!(ha(&cluster, standby, &["activate", "--peer-is-down"]).await, SERVES);
    assert_eq!(ha(&cluster, standby, &["status"]).await, FOLLOWER);
    assert_eq!(ha(&cluster, standby, &["release"]).await, SERVES);
    assert_eq!(admin.cluster().await.unwrap().generation, 0);

    cluster.kill_broker(active);
    assert_eq!(ha(&cluster, standby, &["activate", "--timeout", "4"]).await, UNPROVEN);
    assert_eq!(ha(&cluster, standby, &["status"]).await, NO_QUORUM);
    // Whoever asks meanwhile waits for the proof.
    let waiting = tokio::spawn({
        let key = WishKey::random();
        async move { (api.start(&start(), &key).await.map(|it| it.session.id), api) }
    });
    assert_eq!(ha(&cluster, standby, &["activate", "--peer-is-down"]).await, SERVES);
    let (started, api) = waiting.await.unwrap();
    started.unwrap();
    assert_eq!(api.connect(&session, &WishKey::random()).await.unwrap().session.id, session);
    cluster.launch_broker(active).unwrap();
    until_both_vote(&cluster, &admin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stops_in_order_leaves_the_other_to_go_on_at_once_and_does_not_serve_alone() {
    let (mut cluster, admin) = pair("fenced").await;
    let user = cluster.add_user("ada").unwrap();
    let api = cluster.log_in(&user).await.unwrap();
    let (active, standby) = leader(&cluster, &admin).await;
    assert_eq!(ha(&cluster, active, &["activate"]).await, SERVES);
    // The standby: the active one goes on without anybody's word.
    cluster.stop_broker(standby);
    let began = Instant::now();
    api.start(&start(), &WishKey::random()).await.unwrap();
    eprintln!("standby stopped in order, started after {:?}", began.elapsed());
    cluster.launch_broker(standby).unwrap();
    until_both_vote(&cluster, &admin).await;
    // The active one: the manager's word is enough, without proof from elsewhere.
    assert_eq!(ha(&cluster, active, &["release"]).await, SERVES);
    cluster.stop_broker(active);
    let began = Instant::now();
    assert_eq!(ha(&cluster, standby, &["activate"]).await, SERVES);
    api.start(&start(), &WishKey::random()).await.unwrap();
    eprintln!("active stopped in order, started after {:?}", began.elapsed());
    // Back alone, it knows that it left the other to go on.
    cluster.kill_broker(standby);
    cluster.launch_broker(active).unwrap();
    until_long_silent(&cluster, active).await;
    assert_eq!(ha(&cluster, active, &["status"]).await, STALE);
    let code = ha(&cluster, active, &["activate", "--peer-is-down", "--timeout", "6"]).await;
    assert_eq!(code, STALE);
    cluster.launch_broker(standby).unwrap();
    until_both_vote(&cluster, &admin).await;
    assert_eq!(api.sessions().await.unwrap().sessions.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_not_last_in_charge_is_refused_and_can_be_told_to_go_on_all_the_same() {
    let (mut cluster, admin) = pair("unfenced").await;
    let user = cluster.add_user("ada").unwrap();
    let api = cluster.log_in(&user).await.unwrap();
    let (active, standby) = leader(&cluster, &admin).await;
    assert_eq!(ha(&cluster, active, &["activate"]).await, SERVES);
    until_standing(&admin, |now| now.wire >= Some(2)).await;
    cluster.kill_broker(standby);
    let session = api.start(&start(), &WishKey::random()).await.unwrap().session.id;
    admin.join_token(abide_api::JoinRole::Agent, None).await.unwrap();
    let text = "notice = 'of the lower claim'";
    let config = abide_api::ConfigRequest { base: 0, text: text.to_owned(), note: None };
    admin.put_config(&config).await.unwrap();
    cluster.kill_broker(active);

    cluster.launch_broker(standby).unwrap();
    // Nobody has said that it shall serve: it waits.
    until_long_silent(&cluster, standby).await;
    until_ha(&cluster, standby, STALE).await;
    assert_eq!(ha(&cluster, standby, &["activate"]).await, STALE);
    assert_eq!(ha(&cluster, standby, &["activate", "--accept-stale"]).await, SERVES);
    // What only the other one knew of comes from the agents; placement waits for them, people log in anew.
    let api = cluster.log_in(&user).await.unwrap();
    until("the session is reported", DEADLINE, async || {
        let again = api.connect(&session, &WishKey::random()).await.ok()?;
        (again.session.id == session).then_some(())
    })
    .await
    .unwrap();
    until("new ones are placed", DEADLINE, async || {
        api.start(&start(), &WishKey::random()).await.ok()
    })
    .await
    .unwrap();

    // The other one comes back, gives way, and tells what is lost.
    cluster.launch_broker(active).unwrap();
    let admin = cluster.log_in(cluster.admin()).await.unwrap();
    until_both_vote(&cluster, &admin).await;
    let (code, words) = cluster.ha(active, &["aside"]).await.unwrap();
    assert_eq!(code, SERVES, "{words}");
    assert!(words.contains("a join token was made"), "{words}");
    assert!(words.contains("configuration 1 was taken from admin"), "{words}");
    assert!(!words.contains(&session), "sessions heal: {words}");
    let (_, json) = cluster.ha(active, &["aside", "--json"]).await.unwrap();
    assert!(json.contains(text), "{json}");
    admin.put_config(&config).await.unwrap();
    let (_, words) = cluster.ha(active, &["aside"]).await.unwrap();
    assert!(!words.contains("configuration"), "what is done vanishes: {words}");
    let (_, words) = cluster.ha(standby, &["aside"]).await.unwrap();
    assert!(words.contains("nothing is kept aside"), "{words}");
}

/// Kept apart by running one at a time, unseen by the agents.
#[tokio::test(flavor = "multi_thread")]
async fn where_both_went_on_alone_the_higher_claim_wins_and_the_other_rejoins() {
    let (mut cluster, admin) = pair("unfenced").await;
    let user = cluster.add_user("ada").unwrap();
    let api = cluster.log_in(&user).await.unwrap();
    let (one, two) = leader(&cluster, &admin).await;
    let session = api.start(&start(), &WishKey::random()).await.unwrap().session.id;
    assert_eq!(ha(&cluster, one, &["activate"]).await, SERVES);
    for agent in 0..2 {
        cluster.stop_agent(agent);
    }
    cluster.kill_broker(two);
    until_standing(&admin, |now| now.generation == 1).await;
    admin.join_token(abide_api::JoinRole::Agent, None).await.unwrap();
    let first = claimant(&cluster, one).await;
    cluster.kill_broker(one);
    cluster.launch_broker(two).unwrap();
    until_long_silent(&cluster, two).await;
    assert_eq!(ha(&cluster, two, &["activate", "--timeout", "20"]).await, SERVES);
    let second = claimant(&cluster, two).await;
    assert_eq!((first.0, second.0), (1, 1), "neither knew of the other");
    cluster.launch_broker(one).unwrap();

    until_both_vote(&cluster, &admin).await;
    let claims = [claimant(&cluster, one).await, claimant(&cluster, two).await];
    assert_eq!(claims[0], claims[1]);
    assert_eq!(claims[0], first.max(second));
    let loser = if first < second { one } else { two };
    let asides = [one, two].map(|it| cluster.brokers()[it].dir.join("data/aside").exists());
    assert_eq!(asides, [loser == one, loser == two], "one of them set its data aside");
    if loser == one {
        let (_, words) = cluster.ha(one, &["aside"]).await.unwrap();
        assert!(words.contains("a join token was made"), "{words}");
    }
    for agent in 0..2 {
        cluster.start_agent(agent).unwrap();
    }
    cluster.until_agents_are_heard(&admin).await.unwrap();
    let again = api.connect(&session, &WishKey::random()).await.unwrap().session.id;
    assert_eq!(again, session);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stood_still_gives_way_to_whoever_went_on_meanwhile() {
    let (cluster, admin) = pair("unfenced").await;
    let user = cluster.add_user("ada").unwrap();
    let api = cluster.log_in(&user).await.unwrap();
    let (active, standby) = leader(&cluster, &admin).await;
    assert_eq!(ha(&cluster, active, &["activate"]).await, SERVES);
    cluster.freeze_broker(active);
    assert_eq!(ha(&cluster, standby, &["activate"]).await, SERVES);
    let session = api.start(&start(), &WishKey::random()).await.unwrap().session.id;
    cluster.thaw_broker(active);
    until_both_vote(&cluster, &admin).await;
    assert_eq!(admin.cluster().await.unwrap().generation, 1, "it did not go on alone too");
    assert_eq!(ha(&cluster, active, &["status"]).await, FOLLOWER);
    assert_eq!(api.connect(&session, &WishKey::random()).await.unwrap().session.id, session);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_power_cut_of_both_one_alone_waits_for_its_manager_and_both_need_nobody() {
    let (mut cluster, admin) = pair("unfenced").await;
    let user = cluster.add_user("ada").unwrap();
    let api = cluster.log_in(&user).await.unwrap();
    let session = api.start(&start(), &WishKey::random()).await.unwrap().session.id;
    for both in 0..2 {
        cluster.kill_broker(both);
    }
    for both in 0..2 {
        cluster.launch_broker(both).unwrap();
    }
    until_both_vote(&cluster, &admin).await;
    assert_eq!(api.connect(&session, &WishKey::random()).await.unwrap().session.id, session);
    assert_eq!(admin.cluster().await.unwrap().generation, 0);

    for alone in 0..2 {
        for both in 0..2 {
            cluster.kill_broker(both);
        }
        cluster.launch_broker(alone).unwrap();
        until_long_silent(&cluster, alone).await;
        assert_eq!(ha(&cluster, alone, &["status"]).await, NO_QUORUM);
        assert_eq!(ha(&cluster, alone, &["activate"]).await, SERVES);
        assert_eq!(api.connect(&session, &WishKey::random()).await.unwrap().session.id, session);
        assert_eq!(ha(&cluster, alone, &["release"]).await, SERVES);
        cluster.launch_broker(1 - alone).unwrap();
        until_both_vote(&cluster, &admin).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_hands_the_lead_over_and_orders_may_be_repeated() {
    let (mut cluster, admin) = pair("unfenced").await;
    let (active, standby) = leader(&cluster, &admin).await;
    for _ in 0..2 {
        assert_eq!(ha(&cluster, active, &["activate"]).await, SERVES);
    }
    for _ in 0..2 {
        let (code, words) = cluster.ha(active, &["release"]).await.unwrap();
        assert_eq!(code, SERVES, "{words}");
        assert!(!words.contains("no other broker leads"), "{words}");
        until_ha(&cluster, standby, SERVES).await;
    }
    until_ha(&cluster, active, FOLLOWER).await;
    for _ in 0..2 {
        assert_eq!(ha(&cluster, standby, &["activate"]).await, SERVES);
    }
    // Without a broker there is nothing to serve, and no order is left for its next start.
    cluster.kill_broker(standby);
    assert_eq!(ha(&cluster, standby, &["release"]).await, DOWN);
    cluster.launch_broker(standby).unwrap();
    until_both_vote(&cluster, &admin).await;
    let (_, words) = cluster.ha(standby, &["status"]).await.unwrap();
    assert!(words.contains(" passive "), "{words}");
}
