//! Sessions start, are seen, and end.

use std::time::Duration;

use abide_api::{ViewMode as ShownMode, ViewerState};
use abide_ticket::ViewMode;
use abide_wire::agent::{self, answer, command, end_reason, ledger_row};
use reqwest::StatusCode;

use super::broker::PORTAL;
use super::viewer::{Viewer, cookie, http, pass, post, state};
use super::world::{World, fence, machine, obeyed, rejected, until};

type Test = Result<(), Box<dyn std::error::Error>>;

fn bearer(pass: &str) -> String {
    format!("Bearer {pass}")
}

#[tokio::test]
async fn an_agent_joins_and_greets() -> Test {
    let world = World::new().await;
    let hello = world.broker.hello().await;
    assert_eq!(hello.protocol, 1);
    assert_eq!(hello.name, "desk-1");
    assert_eq!(hello.profiles[0].name, "sleep");
    assert_eq!(hello.public_url, world.settings.public_url.to_string());
    assert!(!hello.more && hello.sessions.is_empty());
    let load = world.broker.wait("a load", |message| match message {
        agent::agent_message::Message::Load(load) => Some(load.clone()),
        _ => None,
    });
    assert!(load.await.memory_total > 0);
    let ready = || async { http().get(world.url("/readyz")).send().await.map(|it| it.status()) };
    until("readiness", async || ready().await.ok().filter(StatusCode::is_success)).await;
    let metrics = http().get(world.url("/metrics")).send().await?.text().await?;
    assert!(metrics.contains("abide_agent_brokers_connected 1"), "{metrics}");
    let token = world.broker.join_token();
    let folder = &world.settings.identity_dir;
    let again = crate::join(world.broker.address(), &token, machine("x", folder)).await;
    assert!(matches!(again, Err(crate::JoinError::Exists { .. })));
    Ok(())
}

#[tokio::test]
async fn a_token_of_another_cluster_lets_nobody_join() {
    let (here, there) = (World::new().await, super::broker::Broker::start().await);
    let folder = tempfile::tempdir().unwrap();
    let token = here.broker.join_token();
    let result = crate::join(there.address(), &token, machine("x", folder.path())).await;
    assert!(matches!(result, Err(crate::JoinError::Unreachable { .. })), "{result:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_person_opens_a_desktop_and_it_ends() -> Test {
    let world = World::new().await;
    let order = world.session().await;
    obeyed(world.command(world.start_of(&order)).await);

    let response = post(&world, &World::path(&order), Some(PORTAL), &world.ticket(&order)).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(response.headers()["location"], World::path(&order));
    let set = response.headers()["set-cookie"].to_str()?.to_owned();
    for part in ["HttpOnly", "SameSite=Strict", &format!("Path={}/rfb;", World::path(&order))] {
        assert!(set.contains(part), "{part} in {set}");
    }
    assert!(!set.contains("Secure") && !set.contains("Domain"));
    let cookie = set.split(';').next().ok_or("a cookie")?.to_owned();

    let page = http().get(world.url(&World::path(&order))).send().await?;
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"].to_str()?;
    assert!(policy.contains("frame-ancestors 'none'") && policy.contains(PORTAL), "{policy}");
    assert_eq!(page.headers()["referrer-policy"], "no-referrer");

    let origin = world.settings.public_url.origin();
    let headers = [("cookie", cookie.as_str()), ("origin", origin.as_str())];
    let viewer = Viewer::look(&world, &order, &headers).await;
    world.broker.viewers(order.session, 1).await;

    let shown = state(&world, &order, &headers).await;
    let shown: ViewerState = serde_json::from_slice(&shown.bytes().await?)?;
    assert_eq!(shown.user, "ada");
    assert_eq!(shown.session.viewers, 1);
    assert_eq!(shown.mode, ShownMode::Control);
    assert_eq!(shown.brokers, [PORTAL]);
    assert!(shown.status_token.starts_with("v4.public."));

    world.end(&order).await;
    assert_eq!(viewer.closed().await, abide_api::CLOSE_ENDED);
    let reason = world.broker.ended(order.session).await;
    assert_eq!(reason.reason, Some(end_reason::Reason::Asked(agent::Asked { by: "ada".into() })));
    world.until_nothing_is_left(order.session).await;

    for forgotten in [false, true] {
        if forgotten {
            let forget = agent::Forget { session: order.session.to_string() };
            world.obey(command::Command::Forget(forget)).await;
        }
        let gone = state(&world, &order, &headers).await;
        assert_eq!(gone.status(), StatusCode::GONE);
        assert!(gone.text().await?.contains("ended by ada"));
        let closed = Viewer::open(&world, &order, &headers).await.map_err(|it| it.to_string())?;
        assert_eq!(closed.closed().await, abide_api::CLOSE_ENDED);
    }
    Ok(())
}

#[tokio::test]
async fn logging_out_is_told_from_failing() {
    let world = World::new().await;
    let order = world.order("out");
    world.obey(world.start_of(&order)).await;
    let reason = world.broker.ended(order.session).await.reason;
    assert_eq!(reason, Some(end_reason::Reason::LoggedOut(agent::LoggedOut {})));
    world.until_nothing_is_left(order.session).await;
}

#[tokio::test]
async fn a_desktop_that_cannot_start_says_why() {
    let world = World::with(|settings| settings.display.program = "/nonexistent/Xvnc".into()).await;
    let order = world.order("sleep");
    world.obey(world.start_of(&order)).await;
    let reason = world.broker.ended(order.session).await.reason;
    let Some(end_reason::Reason::NeverStarted(never)) = reason else { panic!("{reason:?}") };
    assert!(never.detail.contains("/nonexistent/Xvnc"), "{}", never.detail);
    world.until_nothing_is_left(order.session).await;
}

#[tokio::test]
async fn two_desktops_of_one_person_live_side_by_side() {
    let world = World::new().await;
    let (one, other) = (world.session().await, world.session().await);
    let ticket = world.ticket(&one);
    let one_pass = bearer(&pass(&world, &ticket).await.unwrap());
    let other_pass = bearer(&pass(&world, &world.ticket(&other)).await.unwrap());
    let _first = Viewer::look(&world, &one, &[("authorization", &one_pass)]).await;
    let second = Viewer::look(&world, &other, &[("authorization", &other_pass)]).await;
    world.end(&one).await;
    world.broker.ended(one.session).await;
    drop(second);
    Viewer::look(&world, &other, &[("authorization", &other_pass)]).await;
}

#[tokio::test]
async fn whoever_takes_over_is_alone_and_the_loser_is_told() {
    let world = World::new().await;
    let order = world.session().await;
    let mut passes = Vec::new();
    for _ in 0..2 {
        passes.push(bearer(&pass(&world, &world.ticket(&order)).await.unwrap()));
    }
    let first = Viewer::look(&world, &order, &[("authorization", &passes[0])]).await;
    let attached = world.broker.wait("a report of the first viewer", |message| match message {
        agent::agent_message::Message::Report(row) => row.ever_attached.then_some(()),
        _ => None,
    });
    attached.await;
    let second = Viewer::look(&world, &order, &[("authorization", &passes[1])]).await;
    assert_eq!(first.closed().await, abide_api::CLOSE_TAKEN_OVER);
    let again = Viewer::look(&world, &order, &[("authorization", &passes[1])]).await;
    assert_eq!(second.closed().await, abide_api::CLOSE_TAKEN_OVER, "another tab of the same pass");
    world.broker.viewers(order.session, 1).await;

    let look = world.broker.sign(&world.broker.ticket(&order, ViewMode::ViewOnly));
    let look = bearer(&pass(&world, &look).await.unwrap());
    let mut spectator = Viewer::look(&world, &order, &[("authorization", &look)]).await;
    world.broker.viewers(order.session, 2).await;
    spectator.send(vec![77]).await;
    assert_eq!(spectator.closed().await, 1008, "what is not known to be harmless is refused");
    world.broker.viewers(order.session, 1).await;
    drop(again);
    world.broker.viewers(order.session, 0).await;
}

#[tokio::test]
async fn log_out_everywhere_ends_passes_and_no_desktop() {
    let world = World::new().await;
    let order = world.session().await;
    let pass = bearer(&pass(&world, &world.ticket(&order)).await.unwrap());
    let viewer = Viewer::look(&world, &order, &[("authorization", &pass)]).await;
    let revoke = log_out(world.broker.now().0);
    world.obey(revoke).await;
    assert_eq!(viewer.closed().await, abide_api::CLOSE_PASS_REFUSED);
    let again = Viewer::open(&world, &order, &[("authorization", &pass)]).await;
    assert_eq!(again.err(), Some(StatusCode::UNAUTHORIZED));
    let keeper = world.keeper(order.session).await;
    assert!(std::path::Path::new(&format!("/proc/{keeper}")).exists());
}

fn log_out(before_ms: u64) -> command::Command {
    let user = "ada".to_owned();
    let revoke = agent::RevokePasses { user, before_ms, others: Vec::new() };
    command::Command::RevokePasses(revoke)
}

#[tokio::test]
async fn log_out_everywhere_ends_what_was_before_it_and_nothing_later() {
    let mut world = World::new().await;
    let order = world.session().await;
    let early = bearer(&pass(&world, &world.ticket(&order)).await.unwrap());
    let unused = world.ticket(&order);
    let before = world.broker.now().0;
    world.broker.set_clock(std::time::Duration::from_secs(1));
    world.obey(log_out(before)).await;
    assert_eq!(pass(&world, &unused).await.err(), Some(StatusCode::UNAUTHORIZED));
    let late = bearer(&pass(&world, &world.ticket(&order)).await.unwrap());
    // It is told again, after the agent's restart too.
    world.obey(log_out(before)).await;
    world.kill_daemon();
    world.start_daemon().await;
    // Before any broker has told it again.
    assert_eq!(pass(&world, &unused).await.err(), Some(StatusCode::UNAUTHORIZED));
    world.obey(log_out(before)).await;
    let refused = Viewer::open(&world, &order, &[("authorization", &early)]).await;
    assert_eq!(refused.err(), Some(StatusCode::UNAUTHORIZED));
    Viewer::look(&world, &order, &[("authorization", &late)]).await;
}

#[tokio::test]
async fn a_certificate_in_the_last_third_of_its_life_is_renewed_at_start() {
    let mut world = World::new().await;
    let folder = world.settings.identity_dir.clone();
    let identity = || abide_tls::Identity::load(&folder).unwrap();
    let now = std::time::SystemTime::now();
    assert_eq!(identity().names(), ["127.0.0.1"], "one that is young stays");
    world.kill_daemon();
    world.broker.age(&folder);
    assert!(identity().is_due(now));
    world.start_daemon().await;
    until("a new certificate", async || (!identity().is_due(now)).then_some(())).await;
    assert_eq!(identity().names(), ["renewed.test"]);
    let end = identity().expires_at().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let line =
        format!("abide_certificate_expiry_timestamp_seconds{{certificate=\"node\"}} {end}\n");
    until("the new end in the metrics", async || {
        let metrics = reqwest::get(world.url("/metrics")).await.unwrap().text().await.unwrap();
        metrics.contains(&line).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stopping_daemon_sends_viewers_away_for_the_moment() {
    let mut world = World::new().await;
    let order = world.session().await;
    let cookie = cookie(&world, &order, &world.ticket(&order)).await;
    let origin = world.settings.public_url.origin();
    let headers = [("cookie", cookie.as_str()), ("origin", origin.as_str())];
    let viewer = Viewer::look(&world, &order, &headers).await;
    let (closed, ()) = tokio::join!(viewer.closed(), world.stop_daemon());
    assert_eq!(closed, 1012);
    world.start_daemon().await;
    until("a way back", async || Viewer::open(&world, &order, &headers).await.ok()).await;
}

#[tokio::test]
async fn a_replaced_leader_is_refused_also_after_a_restart() {
    let mut world = World::new().await;
    let end = |session: &str| {
        command::Command::End(agent::End { session: session.to_owned(), by: "x".to_owned() })
    };
    let order = world.session().await;
    let unknown = uuid::Uuid::now_v7().to_string();
    let answer = world.broker.command(fence(5), end(&unknown)).await;
    assert!(rejected(answer).contains("no such session"));
    for restart in [false, true] {
        if restart {
            world.kill_daemon();
            world.start_daemon().await;
            assert_eq!(world.broker.hello().await.fence, Some(fence(5)));
        }
        let answer = world.broker.command(fence(4), end(&order.session.to_string())).await;
        let answer::Answer::Fenced(fenced) = answer else { panic!("{answer:?}") };
        assert_eq!(fenced.highest, Some(fence(5)));
    }
    world.broker.running(order.session).await;
}

#[tokio::test]
async fn a_cancelled_session_never_starts_also_after_a_restart() {
    let mut world = World::new().await;
    let order = world.order("sleep");
    let cancel = agent::Cancel { session: order.session.to_string() };
    world.obey(command::Command::Cancel(cancel.clone())).await;
    for restart in [false, true] {
        if restart {
            world.kill_daemon();
            world.start_daemon().await;
        }
        assert!(rejected(world.command(world.start_of(&order)).await).contains("cancelled"));
    }
    let is_cancelled = |state: &ledger_row::State| matches!(state, ledger_row::State::Cancelled(_));
    world.broker.state(order.session, is_cancelled).await;
    assert!(!world.folder(order.session).exists());
    let running = world.session().await;
    let cancel = agent::Cancel { session: running.session.to_string() };
    assert!(rejected(world.command(command::Command::Cancel(cancel)).await).contains("started"));
}

#[tokio::test]
async fn a_full_disk_refuses_the_new_and_keeps_the_old() {
    let mut world = World::new().await;
    let old = world.session().await;
    world.stop_daemon().await;
    world.settings.least_free = u64::MAX;
    world.start_daemon().await;
    world.broker.running(old.session).await;
    let new = world.order("sleep");
    let detail = rejected(world.command(world.start_of(&new)).await);
    assert!(detail.contains("disk of this agent is full"), "{detail}");
    let pass = bearer(&pass(&world, &world.ticket(&old)).await.unwrap());
    Viewer::look(&world, &old, &[("authorization", &pass)]).await;
    assert!(!world.folder(new.session).exists());
}

#[tokio::test]
async fn a_pass_ends_when_it_is_not_used() {
    let world = World::with(|settings| settings.pass_lifetime = Duration::from_secs(2)).await;
    let order = world.session().await;
    let pass = bearer(&pass(&world, &world.ticket(&order)).await.unwrap());
    let headers = [("authorization", pass.as_str())];
    assert_eq!(state(&world, &order, &headers).await.status(), StatusCode::OK);
    until("the pass's end", async || {
        let status = state(&world, &order, &headers).await.status();
        (status == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    let again = Viewer::open(&world, &order, &headers).await;
    assert_eq!(again.err(), Some(StatusCode::UNAUTHORIZED));
}

#[tokio::test]
async fn an_agent_tells_whom_it_obeys() {
    let world = World::new().await;
    world.broker.hello().await;
    let before = world.broker.obeys(None).await.fence.unwrap();
    let higher = agent::Fence { generation: before.generation + 4, ..fence(1) };
    let start = world.start_of(&world.order("sleep"));
    obeyed(world.broker.command(higher, start).await);
    assert_eq!(world.broker.obeys(None).await.fence, Some(higher));
}

#[tokio::test]
async fn an_agent_keeps_a_promise_over_a_restart_and_gives_none_to_whoever_knows_less() {
    let mut world = World::new().await;
    world.broker.hello().await;
    let start = world.start_of(&world.order("sleep"));
    obeyed(world.broker.command(fence(3), start).await);
    let next =
        agent::Fence { generation: fence(3).generation + 1, claimant: 7, ..Default::default() };
    let promise = |known| Some(agent::Promise { next: Some(next), known: Some(known) });
    let told = world.broker.obeys(promise(fence(2))).await;
    assert_eq!(told.fence, Some(fence(3)), "whoever knows of no term 3 is told of it");
    assert_eq!(world.broker.obeys(promise(fence(3))).await.fence, Some(next));
    world.broker.forget();
    world.kill_daemon();
    world.start_daemon().await;
    assert_eq!(world.broker.hello().await.fence, Some(next));
    let start = world.start_of(&world.order("sleep"));
    let answer = world.broker.command(fence(3), start).await;
    assert!(matches!(answer, answer::Answer::Fenced(it) if it.highest == Some(next)), "{answer:?}");
}
