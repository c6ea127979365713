//! The agent daemon dies, which desktops outlive; a whole host dies, which they do not.

use std::time::{Duration, Instant};

use abide_api::SessionState;
use abide_e2e::browser::{Browser, id};
use abide_e2e::processes;
use abide_e2e::wait::until;

use crate::support::{World, alike, look, photo_in, scene, scene_of};

/// From the daemon's start on.
const BACK_WITHIN: Duration = Duration::from_secs(2);
/// From the host's death on.
const NOTICED_WITHIN: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_desktop_outlives_its_agent_daemon_and_the_page_comes_back() {
    let mut world = World::start(1, scene()).await;
    let ada = world.person("ada").await;
    let browser = Browser::start("agent-daemon-down").await.unwrap();
    let tab = browser.open().await.unwrap();
    world.open_desktop(&tab, &ada.user).await;
    let session = ada.only_session().await;
    let display = scene_of(&session.id).await;
    let keeper = world.cluster.agents()[0].keeper(&session.id).unwrap();
    let programs = processes::of_session(&session.id);
    assert!(programs.iter().any(|it| it.program() == "abide-e2e-scene"), "{programs:?}");

    world.cluster.kill_agent(0);
    tab.reached("reconnecting").await.unwrap();
    tab.shoot("reconnecting").await.unwrap();
    let began = Instant::now();
    world.cluster.start_agent(0).unwrap();
    tab.reached("connected").await.unwrap();
    let took = began.elapsed();
    println!("the page was back {took:?} after the daemon's start");
    tab.shoot("back").await.unwrap();
    assert!(took < BACK_WITHIN, "the page was back only after {took:?}");

    assert_eq!(world.cluster.agents()[0].keeper(&session.id).unwrap(), keeper);
    assert_eq!(processes::of_session(&session.id), programs);
    until("the page shows the scene", async || {
        let shown = tab.desktop().await.unwrap();
        alike(&photo_in(&display.screen().unwrap()), &photo_in(&shown)).then_some(())
    })
    .await
    .unwrap();
    world.until_told(&session.id, "the session is reachable", |it| it.reachable).await;
    assert_eq!(ada.open().await.session.id, session.id);
    assert_eq!(ada.only_session().await.id, session.id);
    assert_eq!(browser.complaints().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_dead_hosts_sessions_are_unreachable_then_lost_on_proof() {
    let mut world = World::start(2, scene()).await;
    let ada = world.person("ada").await;
    let old = ada.open().await.session;
    let host = world.agent_of(&old);
    let keeper = world.cluster.agents()[host].keeper(&old.id).unwrap();
    let browser = Browser::start("host-down").await.unwrap();
    let portal = browser.open().await.unwrap();
    world.log_in(&portal, &ada.user).await;
    portal.wait(&id("session-row")).await.unwrap();

    world.cluster.kill_agent_whole(host);
    let (told, took) =
        world.until_told(&old.id, "the session is unreachable", |it| !it.reachable).await;
    println!("unreachable after {took:?}");
    assert!(took < NOTICED_WITHIN, "unreachable only after {took:?}");
    assert!(told.unreachable_since.is_some());
    assert_eq!(told.state, SessionState::Running, "absence alone ends nothing");
    let row = format!("{}[data-session-id=\"{}\"]", id("session-row"), old.id);
    portal.wait(&format!("{row}[data-standing=\"unreachable\"]")).await.unwrap();
    portal.shoot("unreachable").await.unwrap();

    portal.click(&id("open-desktop")).await.unwrap();
    portal.wait(&id("unreachable")).await.unwrap();
    portal.shoot("choices").await.unwrap();
    portal.click(&id("start-another-now")).await.unwrap();
    portal.reached("connected").await.unwrap();
    let sessions = ada.api.sessions().await.unwrap().sessions;
    let new = sessions.iter().find(|it| it.id != old.id).unwrap();
    assert_ne!(new.agent, old.agent);
    scene_of(&new.id).await;

    world.cluster.start_agent(host).unwrap();
    let (told, _) = world
        .until_told(&old.id, "the old session is lost", |it| it.state == SessionState::Lost)
        .await;
    let reason = told.reason.unwrap();
    let evidence = format!("its keeper (process {}) is gone and its lock is free", keeper.pid);
    assert!(reason.contains(&evidence), "{reason}");
    let portal = browser.open().await.unwrap();
    world.log_in(&portal, &ada.user).await;
    portal.wait(&format!("{row}[data-standing=\"lost\"]")).await.unwrap();
    portal.shoot("lost").await.unwrap();
    assert!(portal.text(&row).await.unwrap().contains(&evidence));
    assert_eq!(ada.open().await.session.id, new.id, "the living one is resumed, not the lost one");
    look(&ada.connect(&new.id).await).await;
    assert_eq!(browser.complaints().await.unwrap(), Vec::<String>::new());
}
