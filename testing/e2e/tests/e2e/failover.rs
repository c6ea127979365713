//! The leading one of three brokers dies, and stays dead: a login that is under way, the portal that
//! came from it, and the command line go on at the others.

use std::process::Stdio;
use std::time::{Duration, Instant};

use abide_cluster::{Options, Profile};
use abide_e2e::browser::{Browser, Tab, id};
use abide_e2e::rfb::Rfb;
use abide_e2e::scene::RATE;
use abide_e2e::wait::{SOON, until};
use tokio::time::timeout;

use crate::command_line::{CommandLine, lines};
use crate::support::{Person, World, answer, look, scene, scene_of};

/// What people would see as a stutter.
const NO_GAP_OVER: Duration = Duration::from_millis(200);

/// Three brokers.
async fn three(profiles: Vec<Profile>) -> World {
    let options = Options::new().unwrap();
    World::with(Options { brokers: 3, agents: 2, profiles, ..options }).await
}

impl World {
    /// Kills the broker that leads.
    async fn kill_the_leader(&mut self) -> usize {
        let leader = self.cluster.leader(&self.admin).await.unwrap();
        self.cluster.kill_broker(leader);
        leader
    }

    /// A tab with the portal as the leader serves it, before the password is given.
    async fn named_at_the_leader(&self, browser: &Browser, person: &Person) -> Tab {
        let leader = self.cluster.leader(&self.admin).await.unwrap();
        let tab = browser.open().await.unwrap();
        self.name_at(leader, &tab, &person.user).await;
        tab
    }
}

/// The row of a session in the portal.
fn row(session: &str) -> String {
    format!("{}[data-session-id=\"{session}\"]", id("session-row"))
}

#[tokio::test]
async fn a_login_that_is_under_way_goes_through_when_the_leader_dies() {
    let mut world = three(vec![Profile::plain()]).await;
    let ada = world.person("ada").await;
    let browser = Browser::start("failover-login").await.unwrap();
    let tab = world.named_at_the_leader(&browser, &ada).await;
    world.kill_the_leader().await;
    let began = Instant::now();
    answer(&tab, &ada.user).await;
    println!("logged in {:?} after the leader's death", began.elapsed());
    assert_eq!(tab.count(&id("problem")).await.unwrap(), 0);
    assert_eq!(tab.text(&id("user")).await.unwrap(), "ada");
    tab.click(&id("open-desktop")).await.unwrap();
    tab.reached("connected").await.unwrap();
    tab.shoot("opened-without-the-leader").await.unwrap();
    ada.only_session().await;
    assert_eq!(browser.complaints().await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leaders_death_is_not_seen_in_a_desktop_and_another_starts_after_it() {
    let mut world = three(vec![scene(), Profile::plain()]).await;
    let ada = world.person("ada").await;
    let browser = Browser::start("failover-desktop").await.unwrap();
    let tab = world.named_at_the_leader(&browser, &ada).await;
    answer(&tab, &ada.user).await;
    let session = ada.open().await.session;
    scene_of(&session.id).await;
    tab.wait(&row(&session.id)).await.unwrap();
    let mut viewer = look(&ada.connect(&session.id).await).await;
    let before = viewer.longest_gap(RATE).await.unwrap();

    world.kill_the_leader().await;
    let after = viewer.longest_gap(2 * RATE).await.unwrap();
    println!("longest gap: {before:?} before the leader's death, {after:?} at it and after it");
    assert!(after < NO_GAP_OVER, "a gap of {after:?}");
    tab.choose(&id("profile"), "plain").await.unwrap();
    tab.click(&id("start-another")).await.unwrap();
    tab.reached("connected").await.unwrap();
    tab.shoot("another").await.unwrap();
    let sessions = ada.api.sessions().await.unwrap().sessions;
    assert_eq!(sessions.len(), 2, "{sessions:?}");
    // The first goes on, too.
    viewer.longest_gap(RATE).await.unwrap();
    assert_eq!(browser.complaints().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_portal_whose_broker_is_dead_goes_on_through_the_others() {
    let mut world = three(vec![Profile::plain()]).await;
    let ada = world.person("ada").await;
    let browser = Browser::start("failover-portal").await.unwrap();
    let tab = world.named_at_the_leader(&browser, &ada).await;
    answer(&tab, &ada.user).await;
    let first = ada.open().await.session;
    tab.wait(&row(&first.id)).await.unwrap();
    let page = tab.url().await.unwrap();
    world.kill_the_leader().await;

    // The list refreshes, by itself.
    let second = ada.another().await.session;
    tab.wait(&row(&second.id)).await.unwrap();
    tab.shoot("refreshed").await.unwrap();
    assert_eq!(tab.count(&id("trouble")).await.unwrap(), 0);

    tab.click(&format!("{} {}", row(&first.id), id("end"))).await.unwrap();
    tab.click(&id("confirm-yes")).await.unwrap();
    tab.wait(&format!("{}[data-state=\"ended\"]", row(&first.id))).await.unwrap();
    tab.shoot("ended").await.unwrap();
    assert_eq!(tab.url().await.unwrap(), page, "it is the dead broker's page");

    tab.click(&format!("{} {}", row(&second.id), id("resume"))).await.unwrap();
    tab.reached("connected").await.unwrap();
    assert!(tab.url().await.unwrap().contains(&second.id));
    assert_eq!(browser.complaints().await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abide_connect_goes_on_without_the_leader_and_another_finds_the_session() {
    let mut world = three(vec![scene()]).await;
    let ada = world.person("ada").await;
    let line = CommandLine::of(&world, &ada).await;
    let sockets = ["first", "second"].map(|it| line.home.path().join(it));
    let connect = |socket: &std::path::Path| {
        let mut connect = line.abide(&["connect", "--socket"]);
        let mut connect = connect.arg(socket).stdout(Stdio::piped()).spawn().unwrap();
        (lines(&mut connect), connect)
    };
    let (mut said, mut first) = connect(&sockets[0]);
    timeout(SOON, said.next_line()).await.unwrap().unwrap().unwrap();
    let mut viewer = Rfb::at_socket(&sockets[0]).await.unwrap();
    let session = ada.only_session().await;
    scene_of(&session.id).await;
    viewer.longest_gap(RATE).await.unwrap();

    world.kill_the_leader().await;
    let gap = viewer.longest_gap(2 * RATE).await.unwrap();
    println!("longest gap at and after the leader's death: {gap:?}");
    assert!(gap < NO_GAP_OVER, "a gap of {gap:?}");
    assert!(first.try_wait().unwrap().is_none(), "it goes on");

    let (mut said, mut second) = connect(&sockets[1]);
    timeout(SOON, said.next_line()).await.unwrap().unwrap().unwrap();
    let mut viewer = Rfb::at_socket(&sockets[1]).await.unwrap();
    viewer.longest_gap(RATE).await.unwrap();
    assert_eq!(ada.only_session().await.id, session.id);
    // It is the person's wish to be there now, as in the browser.
    let taken_over = timeout(SOON, first.wait()).await.unwrap().unwrap();
    assert_eq!(taken_over.code(), Some(7));
    assert!(second.try_wait().unwrap().is_none());
    until("one viewer is counted", async || (ada.only_session().await.viewers == 1).then_some(()))
        .await
        .unwrap();
}
