//! The daemon dies; desktops and passes do not.

use abide_ticket::ViewMode;
use abide_wire::agent::{self, ClusterView, answer, end_reason, ledger_row};
use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};

use super::broker::Broker;
use super::viewer::{Viewer, cookie, pass};
use super::world::{World, machine, until};
use crate::{Earlier, Machine};

#[tokio::test]
async fn a_desktop_and_its_pass_outlive_the_daemon() {
    let mut world = World::new().await;
    let order = world.session().await;
    let keeper = world.keeper(order.session).await;
    let cookie = cookie(&world, &order, &world.ticket(&order)).await;
    let origin = world.settings.public_url.origin();
    let headers = [("cookie", cookie.as_str()), ("origin", origin.as_str())];
    let viewer = Viewer::look(&world, &order, &headers).await;
    world.kill_daemon();
    assert_eq!(viewer.closed().await, 1006);
    world.start_daemon().await;
    // The pass works before any broker has said anything.
    let mut back =
        until("a way back", async || Viewer::open(&world, &order, &headers).await.ok()).await;
    back.see().await;
    assert_eq!(world.keeper(order.session).await, keeper);
    let row = world.broker.running(order.session).await;
    assert!(row.ever_attached);
    // And the session can still be ended.
    world.end(&order).await;
    world.broker.ended(order.session).await;
    world.until_nothing_is_left(order.session).await;
}

#[tokio::test]
async fn an_agent_whose_cluster_is_lost_takes_its_desktops_into_another() {
    let mut world = World::new().await;
    let order = world.session().await;
    let keeper = world.keeper(order.session).await;
    let of_the_lost_cluster = world.ticket(&order);
    world.kill_daemon();

    let other = Broker::start().await;
    let joining =
        Machine { earlier: Earlier::Left, ..machine("desk-1", &world.settings.identity_dir) };
    let me = crate::join(other.address(), &other.join_token(), joining).await.unwrap();
    assert_eq!(me, world.me, "the sessions' orders name it");
    world.broker = other;
    world.start_daemon().await;
    let row = world.broker.running(order.session).await;
    assert!(!row.start_order.is_empty(), "for a person to confirm");
    assert_eq!(world.keeper(order.session).await, keeper);

    let refused = pass(&world, &of_the_lost_cluster).await;
    assert!(refused.is_err(), "the lost cluster's keys count no more");
    let _way_in = cookie(&world, &order, &world.ticket(&order)).await;
    // What it obeyed stays: the new cluster has to go above that.
    let lower = agent::Fence { generation: 0, claimant: 0, term: 1, leader: 1 };
    let answer = world.broker.command(lower, world.start_of(&world.order("sleep"))).await;
    assert!(matches!(answer, answer::Answer::Fenced(_)), "{answer:?}");
    world.end(&order).await;
    world.broker.ended(order.session).await;
}

#[tokio::test]
async fn a_keeper_that_was_killed_is_a_loss_with_its_evidence() {
    let mut world = World::new().await;
    for daemon_dies in [false, true] {
        let order = world.session().await;
        let keeper = world.keeper(order.session).await;
        if daemon_dies {
            world.kill_daemon();
        }
        kill_process(Pid::from_raw(keeper as i32).unwrap(), Signal::KILL).unwrap();
        if daemon_dies {
            world.start_daemon().await;
        }
        let reason = world.broker.ended(order.session).await.reason;
        let Some(end_reason::Reason::LostKeeper(lost)) = reason else { panic!("{reason:?}") };
        assert_eq!(lost.pid, keeper);
        world.until_nothing_is_left(order.session).await;
    }
}

#[tokio::test]
async fn a_desktop_that_ended_while_the_daemon_was_dead_says_how() {
    let mut world = World::new().await;
    let order = world.session().await;
    let keeper = world.keeper(order.session).await;
    world.kill_daemon();
    kill_process(Pid::from_raw(keeper as i32).unwrap(), Signal::TERM).unwrap();
    let folder = world.folder(order.session);
    until("the keeper's end", async || folder.join("ended").exists().then_some(())).await;
    world.start_daemon().await;
    let reason = world.broker.ended(order.session).await.reason;
    assert!(matches!(reason, Some(end_reason::Reason::HostShutDown(_))), "{reason:?}");
    world.until_nothing_is_left(order.session).await;
}

/// Wherever in a start the daemon dies: the session runs or never did, and nothing is left over.
#[tokio::test]
async fn a_start_that_the_daemon_did_not_survive_is_either_done_or_undone() {
    let mut world = World::new().await;
    for pause in [0, 5, 20, 60] {
        let order = world.order("sleep");
        world.obey(world.start_of(&order)).await;
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
        world.kill_daemon();
        world.start_daemon().await;
        let settled = |state: &ledger_row::State| {
            matches!(state, ledger_row::State::Running(_) | ledger_row::State::Ended(_))
        };
        match world.broker.state(order.session, settled).await.state {
            Some(ledger_row::State::Running(_)) => {
                world.keeper(order.session).await;
                world.end(&order).await;
                world.broker.ended(order.session).await;
            }
            Some(ledger_row::State::Ended(ended)) => {
                let reason = ended.reason.unwrap().reason;
                assert!(matches!(reason, Some(end_reason::Reason::NeverStarted(_))), "{reason:?}");
            }
            other => panic!("{other:?}"),
        }
        world.until_nothing_is_left(order.session).await;
    }
}

#[tokio::test]
async fn a_desktop_that_no_ledger_knows_is_listed_and_left_alone() {
    let mut world = World::new().await;
    let order = world.session().await;
    let keeper = world.keeper(order.session).await;
    world.kill_daemon();
    std::fs::remove_dir_all(&world.settings.data_dir).unwrap();
    world.start_daemon().await;
    let row = world.broker.running(order.session).await;
    assert_eq!(row.start_order, "");
    assert_eq!(world.keeper(order.session).await, keeper);
    let ticket = world.ticket(&order);
    let refused = until("the brokers' keys", async || {
        super::viewer::pass(&world, &ticket)
            .await
            .err()
            .filter(|it| *it != StatusCode::UNAUTHORIZED)
    })
    .await;
    assert_eq!(refused, StatusCode::NOT_FOUND, "nobody can prove whose it is");
    // Until a broker does.
    world.obey(world.start_of(&order)).await;
    super::viewer::pass(&world, &ticket).await.unwrap();
    assert_eq!(world.keeper(order.session).await, keeper);
}

#[tokio::test]
async fn a_session_outlives_the_key_that_ordered_it() {
    let mut world = World::new().await;
    let order = world.session().await;
    let ticket = world.broker.sign(&world.broker.ticket(&order, ViewMode::Control));
    let pass = super::viewer::pass(&world, &ticket).await.unwrap();
    world.broker.tell_cluster(ClusterView::default()).await;
    until("the key's withdrawal", async || {
        super::viewer::pass(&world, &world.ticket(&order)).await.err()
    })
    .await;
    world.kill_daemon();
    world.start_daemon_unheard();
    world.until_it_answers().await;
    let pass = format!("Bearer {pass}");
    let headers = [("authorization", pass.as_str())];
    until("a way back", async || Viewer::open(&world, &order, &headers).await.ok()).await;
}
