//! The broker dies. It is not needed while a session is used.

use std::time::Duration;

use abide_api::SessionState;
use abide_e2e::browser::Browser;
use abide_e2e::scene::RATE;
use abide_e2e::wait::until;

use crate::support::{World, alike, look, photo_in, scene, scene_of};

/// What people would see as a stutter.
const NO_GAP_OVER: Duration = Duration::from_millis(200);

#[tokio::test]
async fn the_brokers_death_is_not_seen_and_a_pass_opens_without_it() {
    let mut world = World::start(1, scene()).await;
    let ada = world.person("ada").await;
    let browser = Browser::start("broker-down").await.unwrap();
    let tab = browser.open().await.unwrap();
    world.open_desktop(&tab, &ada.user).await;
    let page = tab.url().await.unwrap();
    let session = ada.only_session().await;
    let display = scene_of(&session.id).await;

    // A viewer that measures takes over from the tab, whose browser keeps its pass.
    let mut viewer = look(&ada.connect(&session.id).await).await;
    tab.reached("taken-over").await.unwrap();
    let before = viewer.longest_gap(RATE).await.unwrap();
    world.cluster.kill_broker(0);
    let after = viewer.longest_gap(4 * RATE).await.unwrap();
    println!("longest gap: {before:?} before the broker's death, {after:?} at it and after it");
    assert!(after < NO_GAP_OVER, "a gap of {after:?}");

    let second = browser.open().await.unwrap();
    second.goto(&page).await.unwrap();
    second.reached("connected").await.unwrap();
    let first_picture = until("the second tab shows the scene", async || {
        let shown = second.desktop().await.unwrap();
        alike(&photo_in(&display.screen().unwrap()), &photo_in(&shown)).then_some(shown)
    });
    let first_picture = first_picture.await.unwrap();
    until("it moves", async || (second.desktop().await.unwrap() != first_picture).then_some(()))
        .await
        .unwrap();
    second.shoot("in-by-pass-without-a-broker").await.unwrap();

    world.cluster.start_broker(0).await.unwrap();
    let (told, _) = world
        .until_told(&session.id, "the session is there", |it| {
            it.state == SessionState::Running && it.reachable
        })
        .await;
    assert_eq!(told.agent, session.agent);
    assert_eq!(ada.open().await.session.id, session.id);
    look(&ada.connect(&session.id).await).await.longest_gap(RATE).await.unwrap();
    assert_eq!(ada.only_session().await.id, session.id);
    assert_eq!(browser.complaints().await.unwrap(), Vec::<String>::new());
}
