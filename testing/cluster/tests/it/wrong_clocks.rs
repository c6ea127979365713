//! Brokers whose clock is wrong, or whose table is old: neither moves the table's time where it should
//! not be, nor keeps people out.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use abide_api::{Cluster as Standing, JoinRole, SessionReply, SessionState, StartRequest, Want};
use abide_client::{Api, Brokers, OneSecret, WishKey};
use abide_cluster::{Cluster, Options, TestUser, clock_off_by, until};
use reqwest::StatusCode;
use zeroize::Zeroizing;

const DEADLINE: Duration = Duration::from_secs(40);
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// More than keys, ended sessions and logins are remembered for.
const AHEAD: &str = "+30h";

fn start() -> StartRequest {
    StartRequest { profile: None, want: Want::Start }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

/// Asserts that it was started just now, by the right clock shifted by `shift_ms`.
fn is_from_now(reply: &SessionReply, shift_ms: u64) {
    let off = reply.session.created_at.0.0.abs_diff(now_ms() + shift_ms);
    assert!(off < 60_000, "{} is {off} ms off", reply.session.created_at);
}

/// Asserts that the session's agent takes the ticket.
async fn lets_in(reply: &SessionReply) {
    let body = serde_json::json!({ "ticket": reply.connect.ticket });
    let request = reqwest::Client::new().post(&reply.connect.redeem_url).json(&body);
    let response = request.send().await.unwrap();
    let status = response.status();
    assert_eq!(status, StatusCode::OK, "{}", response.text().await.unwrap());
}

/// The API of one broker alone, in the name of somebody who logs in there.
async fn at(cluster: &Cluster, index: usize, user: &TestUser) -> Api {
    let url = cluster.brokers()[index].url.clone();
    let ways = Brokers::new(vec![url], &cluster.trust().unwrap()).unwrap();
    let mut secret = OneSecret(Zeroizing::new(user.password.clone()));
    let login = ways.login(&user.name, &mut secret).await.unwrap();
    Api::new(ways, login.token)
}

async fn until_standing(api: &Api, fits: impl Fn(&Standing) -> bool) -> Standing {
    until("the brokers stand as expected", DEADLINE, async || {
        api.cluster().await.ok().filter(|now| fits(now))
    })
    .await
    .unwrap()
}

/// What a broker says of itself, asked directly.
async fn own_word(cluster: &Cluster, index: usize) -> Standing {
    let url = format!("{}/api/v1/cluster", cluster.brokers()[index].url);
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

/// The broker that will lead if the leader dies: of those that are as far, the one with the highest node.
fn heir(cluster: &Cluster, standing: &Standing) -> usize {
    let others = standing.brokers.iter().filter(|it| Some(&it.id) != standing.leader.as_ref());
    let heir = others.max_by_key(|it| it.node).unwrap();
    cluster.brokers().iter().position(|it| it.id == heir.id).unwrap()
}

/// Kills leaders until this broker leads.
async fn have_lead(cluster: &mut Cluster, admin: &Api, wrong: usize) {
    for _ in 0..6 {
        let leader = cluster.leader(admin).await.unwrap();
        if leader == wrong {
            return;
        }
        cluster.kill_broker(leader);
        let after = until("another leads", DEADLINE, async || {
            let led = cluster.leader(admin).await.ok()?;
            (led != leader).then_some(led)
        });
        after.await.unwrap();
        cluster.start_broker(leader).await.unwrap();
        until_standing(admin, |now| now.can_lose == 1).await;
    }
    panic!("the broker with the wrong clock never led");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_clock_is_a_day_ahead_moves_nothing_and_serves_all_the_same() {
    let options = Options { brokers: 3, agents: 2, ..Options::new().unwrap() };
    let mut cluster = Cluster::start(options).await.unwrap();
    let admin = cluster.log_in(cluster.admin()).await.unwrap();
    let user = cluster.add_user("ada").unwrap();
    let api = cluster.log_in(&user).await.unwrap();
    let (key, left) = (WishKey::random(), cluster.log_in(&user).await.unwrap());
    let first = api.start(&start(), &key).await.unwrap();
    left.logout(false).await.unwrap();
    assert!(left.sessions().await.is_err());

    let standing = until_standing(&admin, |now| now.can_lose == 1).await;
    let wrong = heir(&cluster, &standing);
    cluster.put_broker_under(wrong, &clock_off_by(AHEAD).unwrap());
    cluster.kill_broker(wrong);
    cluster.start_broker(wrong).await.unwrap();
    until_standing(&admin, |now| now.can_lose == 1).await;
    have_lead(&mut cluster, &admin, wrong).await;

    let here = at(&cluster, wrong, &user).await;
    let new = here.start(&start(), &WishKey::random()).await.unwrap();
    is_from_now(&new, 0);
    assert_eq!(new.session.state, SessionState::Running);
    lets_in(&new).await;
    lets_in(&here.connect(&first.session.id, &WishKey::random()).await.unwrap()).await;
    // What every broker has signed holds at every other.
    for index in 0..3 {
        let there = at(&cluster, index, &user).await;
        lets_in(&there.connect(&new.session.id, &WishKey::random()).await.unwrap()).await;
    }
    assert_eq!(api.sessions().await.unwrap().sessions.len(), 2);
    // Nothing was forgotten.
    assert_eq!(api.start(&start(), &key).await.unwrap().session.id, first.session.id);
    assert!(left.sessions().await.is_err(), "the log-out was forgotten");
    // And it is said.
    let said = own_word(&cluster, wrong).await;
    let problem = said.clock_problem.expect("the clock is wrong");
    assert!(problem.contains("ahead of the other servers' clocks"), "{problem}");
    let right = own_word(&cluster, (wrong + 1) % 3).await;
    assert_eq!(right.clock_problem, None);
    let row = right.brokers.iter().find(|it| it.id == cluster.brokers()[wrong].id).unwrap();
    assert!(row.clock_offset_ms.unwrap() > 29 * 60 * 60 * 1000, "{row:?}");
    let metrics = format!("{}/metrics", cluster.brokers()[wrong].url);
    let metrics = reqwest::get(metrics).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("abide_broker_clock_believed 0"), "{metrics}");

    // The others go on from there.
    cluster.kill_broker(wrong);
    let later = api.start(&start(), &WishKey::random()).await.unwrap();
    is_from_now(&later, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_broker_whose_clock_is_a_day_ahead_goes_by_its_agents_clocks() {
    let mut cluster = Cluster::start(Options::new().unwrap()).await.unwrap();
    let user = cluster.add_user("ada").unwrap();
    let api = cluster.log_in(&user).await.unwrap();
    let key = WishKey::random();
    let first = api.start(&start(), &key).await.unwrap();

    cluster.put_broker_under(0, &clock_off_by(AHEAD).unwrap());
    cluster.kill_broker(0);
    cluster.start_broker(0).await.unwrap();
    let admin = cluster.log_in(cluster.admin()).await.unwrap();
    cluster.until_agents_are_heard(&admin).await.unwrap();
    let new = api.start(&start(), &WishKey::random()).await.unwrap();
    is_from_now(&new, 0);
    lets_in(&new).await;
    assert_eq!(api.start(&start(), &key).await.unwrap().session.id, first.session.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_broker_serves_after_a_week_without_power() {
    let mut cluster = Cluster::start(Options::new().unwrap()).await.unwrap();
    let week_on = clock_off_by("+7d").unwrap();
    cluster.put_broker_under(0, &week_on);
    for agent in 0..2 {
        cluster.put_agent_under(agent, &week_on);
        cluster.kill_agent(agent);
    }
    cluster.kill_broker(0);

    // Without any other clock at first: what must be written waits for a while, and then is.
    cluster.start_broker(0).await.unwrap();
    let admin = cluster.log_in(cluster.admin()).await.unwrap();
    admin.join_token(JoinRole::Agent, None).await.unwrap();
    for agent in 0..2 {
        cluster.start_agent(agent).unwrap();
    }
    cluster.until_agents_are_heard(&admin).await.unwrap();
    let user = cluster.add_user("ada").unwrap();
    let api = cluster.log_in(&user).await.unwrap();
    let new = api.start(&start(), &WishKey::random()).await.unwrap();
    is_from_now(&new, 7 * DAY_MS);
    lets_in(&new).await;
    assert_eq!(own_word(&cluster, 0).await.clock_problem, None);

    // Nor does a restart among agents that say the same.
    cluster.kill_broker(0);
    cluster.start_broker(0).await.unwrap();
    is_from_now(&api.start(&start(), &WishKey::random()).await.unwrap(), 7 * DAY_MS);
}
