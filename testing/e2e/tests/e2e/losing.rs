//! Every broker's disk is lost, and the table comes back from the agents.

use std::collections::BTreeMap;
use std::time::Duration;

use abide_api::{SessionState, StartRequest, Want};
use abide_client::{Api, WishKey};
use abide_cluster::{Cluster, Options, Profile, TestUser};
use abide_e2e::rfb::Rfb;
use abide_e2e::scene::RATE;
use abide_e2e::wait::until;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{look, scene};

/// What people would see as a stutter, where the picture always moves.
const NO_GAP_OVER: Duration = Duration::from_millis(200);
/// The same for a clock that moves once a second.
const NO_TICK_OVER: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loss_of_every_brokers_disk_is_not_seen_and_every_session_is_found_again() {
    lose_everything(6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "fifty desktops load a machine: by hand"]
async fn fifty_sessions_survive_the_loss_of_every_brokers_disk() {
    lose_everything(50).await;
}

async fn lose_everything(people: usize) {
    // Something that moves once a second costs next to nothing, fifty times over.
    let clock = Profile::new("clock", &["xclock", "-update", "1"]).bare();
    let options = Options::new().unwrap();
    let options = Options { brokers: 3, agents: 2, profiles: vec![scene(), clock], ..options };
    let mut cluster = Cluster::start(options).await.unwrap();
    let users: Vec<_> =
        (0..people).map(|n| cluster.add_user(&format!("person{n}")).unwrap()).collect();
    let mut before = BTreeMap::new();
    let (phase, now) = watch::channel(Phase::Starting);
    let mut viewers = JoinSet::new();
    for (n, user) in users.iter().enumerate() {
        let api = cluster.log_in(user).await.unwrap();
        let profile = if n == 0 { "scene" } else { "clock" };
        let reply = open(&api, Some(profile)).await;
        let (gap, pictures) = if n == 0 { (NO_GAP_OVER, RATE) } else { (NO_TICK_OVER, 1) };
        let viewer = look(&reply.connect_again(&api).await).await;
        viewers.spawn(watch_on(user.name.clone(), viewer, pictures, gap, now.clone()));
        before.insert(reply.0.session.id, (user.name.clone(), reply.0.session.agent));
    }

    phase.send_replace(Phase::Losing);
    cluster.lose_the_table().unwrap();
    cluster.prepare_recovery(0).unwrap();
    cluster.start_broker(0).await.unwrap();
    let admin = cluster.log_in(cluster.admin()).await.unwrap();
    let agents = cluster.agents().iter().map(|agent| agent.name.clone()).collect();
    admin.expect_agents(agents).await.unwrap();
    until("every agent has reported", async || {
        (!admin.recovery().await.ok()?.waiting).then_some(())
    })
    .await
    .unwrap();
    for index in [1, 2] {
        cluster.start_broker(index).await.unwrap();
    }
    until("the brokers may lose one again", async || {
        (admin.cluster().await.ok()?.can_lose == 1).then_some(())
    })
    .await
    .unwrap();

    let sessions = admin.sessions().await.unwrap().sessions;
    let after: BTreeMap<_, _> =
        sessions.iter().map(|it| (it.id.clone(), (it.user.clone(), it.agent.clone()))).collect();
    assert_eq!(after, before, "exactly the sessions that there were");
    assert!(sessions.iter().all(|it| it.state == SessionState::Running && it.reachable));
    for user in &users {
        led_back(&cluster, user, &before).await;
    }
    let keepers: usize = cluster.agents().iter().map(|agent| agent.keepers().len()).sum();
    assert_eq!(keepers, people, "nobody has two desktops");

    phase.send_replace(Phase::Over);
    let mut longest = Duration::ZERO;
    while let Some(gap) = viewers.join_next().await {
        longest = longest.max(gap.unwrap());
    }
    println!("{people} sessions: the scene's longest gap was {longest:?}");
    let newcomer = cluster.add_user("newcomer").unwrap();
    let api = cluster.log_in(&newcomer).await.unwrap();
    open(&api, Some("clock")).await;
    assert!(admin.cluster().await.unwrap().generation > 0);
}

/// How far the test is.
#[derive(Clone, Copy)]
enum Phase {
    /// Desktops start, which loads the machine: gaps are no sign of anything.
    Starting,
    /// The table is lost and made anew.
    Losing,
    Over,
}

struct Opened(abide_api::SessionReply);

impl Opened {
    /// A fresh ticket: with fifty people the first may be too old.
    async fn connect_again(&self, api: &Api) -> abide_api::SessionReply {
        api.connect(&self.0.session.id, &WishKey::random()).await.unwrap()
    }
}

async fn open(api: &Api, profile: Option<&str>) -> Opened {
    let profile = profile.map(str::to_owned);
    let request = StartRequest { profile, want: Want::ResumeOrStart };
    Opened(api.start(&request, &WishKey::random()).await.unwrap())
}

/// A person who logs in anew gets the desktop that was there.
async fn led_back(cluster: &Cluster, user: &TestUser, before: &BTreeMap<String, (String, String)>) {
    let api = cluster.log_in(user).await.unwrap();
    let session = open(&api, None).await.0.session;
    assert_eq!(before[&session.id].0, user.name);
}

/// Watches until told to stop; gives the longest gap of a viewer whose picture always moves.
async fn watch_on(
    name: String,
    mut viewer: Rfb,
    pictures: u32,
    most: Duration,
    now: watch::Receiver<Phase>,
) -> Duration {
    let mut longest = Duration::ZERO;
    loop {
        let phase = *now.borrow();
        let gap = viewer.longest_gap(pictures).await;
        let gap = gap.unwrap_or_else(|cause| panic!("{name} was cut off: {cause:#}"));
        match phase {
            Phase::Starting => continue,
            Phase::Losing => longest = longest.max(gap),
            Phase::Over => break,
        }
        assert!(longest < most, "{name} saw a gap of {longest:?}");
    }
    if most == NO_GAP_OVER { longest } else { Duration::ZERO }
}
