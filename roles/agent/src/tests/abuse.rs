//! What must not open anything.

use std::time::Duration;

use abide_model::{SessionId, Timestamp};
use abide_ticket::{SigningKey, StartOrder, Ticket, ViewMode};
use reqwest::StatusCode;
use uuid::Uuid;

use super::broker::PORTAL;
use super::viewer::{Viewer, cookie, http, pass, post, state};
use super::world::{World, rejected, until};

#[tokio::test]
async fn no_bad_ticket_opens_a_session() {
    let mut world = World::new().await;
    let (order, other) = (world.session().await, world.session().await);
    let good = || world.broker.ticket(&order, ViewMode::Control);
    let altered = |change: fn(&mut Ticket)| {
        let mut ticket = good();
        change(&mut ticket);
        world.broker.sign(&ticket)
    };
    let forger = SigningKey::from_seed(&[9; 32]);
    let used = world.ticket(&order);
    pass(&world, &used).await.unwrap();
    let cut = world.ticket(&order);
    let table = [
        ("empty", String::new()),
        ("rubbish", "rubbish".to_owned()),
        ("cut", cut[..cut.len() - 20].to_owned()),
        ("forged", forger.sign(world.broker.cluster(), &good())),
        (
            "for another cluster",
            SigningKey::from_seed(&[2; 32])
                .sign(abide_model::ClusterId(Uuid::from_u128(5)), &good()),
        ),
        ("a status token", good().status),
        ("a start order", world.broker.sign(&order)),
        (
            "expired",
            altered(|it| {
                it.issued_at = Timestamp(it.issued_at.0 - 60_000);
                it.expires_at = Timestamp(it.expires_at.0 - 60_000);
            }),
        ),
        (
            "from the future",
            altered(|it| {
                it.issued_at = it.issued_at.plus(60_000);
                it.expires_at = it.expires_at.plus(60_000);
            }),
        ),
        ("for another agent", altered(|it| it.agent = "c".repeat(32).parse().unwrap())),
        ("for an unknown session", altered(|it| it.session = SessionId(Uuid::from_u128(1)))),
        ("for another user", altered(|it| it.user = "eve".parse().unwrap())),
        ("used", used.clone()),
    ];
    for (what, ticket) in &table {
        let refused = pass(&world, ticket).await.unwrap_err();
        assert!(
            refused == StatusCode::UNAUTHORIZED || refused == StatusCode::NOT_FOUND,
            "{what}: {refused}"
        );
        let page = post(&world, &World::path(&order), Some(PORTAL), ticket).await;
        assert!(page.status().is_client_error(), "{what}: {}", page.status());
        assert!(!page.headers().contains_key("set-cookie"), "{what}");
        assert!(page.text().await.unwrap().contains("Your desktop could not be opened"), "{what}");
        let header = format!("Bearer {ticket}");
        let opened = Viewer::open(&world, &order, &[("authorization", &header)]).await;
        assert!(opened.is_err_and(|status| status.is_client_error()), "{what}");
    }
    // A good one, but shown at another session's door; it is not used up by that.
    let ticket = world.ticket(&order);
    let page = post(&world, &World::path(&other), Some(PORTAL), &ticket).await;
    assert_eq!(page.status(), StatusCode::UNAUTHORIZED);
    let wrong_key = StartOrder { view_key: other.view_key.clone(), ..order.clone() };
    let page = post(&world, &World::path(&wrong_key), Some(PORTAL), &ticket).await;
    assert_eq!(page.status(), StatusCode::NOT_FOUND);
    world.kill_daemon();
    world.start_daemon().await;
    world.broker.running(order.session).await;
    assert_eq!(pass(&world, &used).await, Err(StatusCode::UNAUTHORIZED), "used before the restart");
    until("a good one", async || pass(&world, &ticket).await.ok()).await;
}

#[tokio::test]
async fn no_bad_pass_opens_a_session() {
    let world = World::new().await;
    let (order, other) = (world.session().await, world.session().await);
    let origin = world.settings.public_url.origin();
    let cookie = cookie(&world, &order, &world.ticket(&order)).await;
    let program = pass(&world, &world.ticket(&order)).await.unwrap();
    let (name, browser) = cookie.split_once('=').unwrap();
    let as_cookie = format!("{name}={program}");
    let (bearer, as_bearer) = (format!("Bearer {program}"), format!("Bearer {browser}"));
    let foreign = other_door(&order, &other);

    for (what, order, headers) in [
        ("nothing", &order, vec![]),
        ("a browser's pass as Bearer", &order, vec![("authorization", as_bearer.as_str())]),
        ("a pass at another session", &other, vec![("authorization", bearer.as_str())]),
        ("an unknown pass", &order, vec![("authorization", "Bearer 0")]),
        ("a wrong path", &foreign, vec![("authorization", bearer.as_str())]),
        ("a cookie without an Origin", &order, vec![("cookie", cookie.as_str())]),
        ("a cookie from the portal's page", &order, vec![("cookie", &cookie), ("origin", PORTAL)]),
        (
            "a cookie from another port",
            &order,
            vec![("cookie", &cookie), ("origin", "http://127.0.0.1:1")],
        ),
    ] {
        let opened = Viewer::open(&world, order, &headers).await;
        assert!(opened.is_err_and(|status| status.is_client_error()), "{what}");
    }
    // A page reads close codes, not statuses.
    let headers = [("cookie", as_cookie.as_str()), ("origin", origin.as_str())];
    let refused = Viewer::open(&world, &order, &headers).await.unwrap();
    assert_eq!(refused.closed().await, abide_api::CLOSE_PASS_REFUSED);
    assert_eq!(state(&world, &order, &headers).await.status(), StatusCode::UNAUTHORIZED);
    Viewer::look(&world, &order, &[("authorization", &bearer)]).await;
}

fn other_door(order: &StartOrder, other: &StartOrder) -> StartOrder {
    StartOrder { view_key: other.view_key.clone(), ..order.clone() }
}

#[tokio::test]
async fn only_a_brokers_page_may_post_a_ticket() {
    let world = World::new().await;
    let order = world.session().await;
    let own = world.settings.public_url.origin();
    for origin in [None, Some("null"), Some("http://evil.test"), Some(own.as_str())] {
        let page = post(&world, &World::path(&order), origin, &world.ticket(&order)).await;
        assert_eq!(page.status(), StatusCode::FORBIDDEN, "{origin:?}");
        assert!(!page.headers().contains_key("set-cookie"));
    }
}

#[tokio::test]
async fn clocks_ten_minutes_apart_let_people_in() {
    for ahead in [Duration::from_secs(600), Duration::ZERO] {
        let mut world = World::with(|_| {}).await;
        world.broker.set_clock(ahead);
        world.kill_daemon();
        world.start_daemon().await;
        let order = world.session().await;
        until("the measurement", async || pass(&world, &world.ticket(&order)).await.ok()).await;
        // By the host's own clock it would not hold.
        let mut stale = world.broker.ticket(&order, ViewMode::Control);
        for time in [&mut stale.issued_at, &mut stale.expires_at] {
            *time = Timestamp(time.0 - 120_000);
        }
        let refused = pass(&world, &world.broker.sign(&stale)).await;
        assert_eq!(refused, Err(StatusCode::UNAUTHORIZED));
    }
}

#[tokio::test]
async fn no_bad_order_starts_a_session() {
    let world = World::new().await;
    let order = world.order("sleep");
    let start = |order: String| {
        abide_wire::agent::command::Command::Start(abide_wire::agent::Start { order })
    };
    let forger = SigningKey::from_seed(&[9; 32]);
    let elsewhere = StartOrder { agent: "c".repeat(32).parse().unwrap(), ..order.clone() };
    let unknown = StartOrder { profile: "nothing".parse().unwrap(), ..order.clone() };
    for (bad, why) in [
        (String::new(), "token"),
        (forger.sign(world.broker.cluster(), &order), "not one of this cluster's"),
        (world.broker.sign(&world.broker.ticket(&order, ViewMode::Control)), "token"),
        (world.broker.sign(&elsewhere), "is for agent"),
        (world.broker.sign(&unknown), "no profile nothing"),
    ] {
        let detail = rejected(world.command(start(bad)).await);
        assert!(detail.contains(why), "{detail}");
    }
    assert!(!world.folder(order.session).exists());
}

#[tokio::test]
async fn what_is_not_a_request_gets_a_clear_answer() {
    let world = World::new().await;
    let http = http();
    let big = "x".repeat(1 << 20);
    let json = format!("{{\"ticket\":\"{big}\"}}");
    let url = |path: &str| world.url(path);
    let id = Uuid::nil();
    let key = "0".repeat(32);
    for (request, status) in [
        (http.post(url("/api/v1/redeem")).body(json.clone()), StatusCode::PAYLOAD_TOO_LARGE),
        (http.post(url("/api/v1/redeem")).body("{"), StatusCode::BAD_REQUEST),
        (
            http.post(url("/api/v1/redeem")).body("{\"ticket\":\"x\",\"more\":1}"),
            StatusCode::BAD_REQUEST,
        ),
        (http.get(url("/api/v1/redeem")), StatusCode::METHOD_NOT_ALLOWED),
        (http.get(url("/nowhere")), StatusCode::NOT_FOUND),
        (http.get(url("/viewer/../../etc/passwd")), StatusCode::NOT_FOUND),
        (http.get(url("/viewer/index.html")), StatusCode::NOT_FOUND),
        (http.get(url("/s/x/y")), StatusCode::NOT_FOUND),
        (http.get(url(&format!("/s/{id}/{key}/rfb"))), StatusCode::UNAUTHORIZED),
        (http.get(url(&format!("/s/{id}/{key}/rfb/state"))), StatusCode::UNAUTHORIZED),
        (
            http.get(url(&format!("/s/{id}/{key}/rfb/state"))).bearer_auth("x"),
            StatusCode::NOT_FOUND,
        ),
    ] {
        let response = request.send().await.unwrap();
        let seen = (response.status(), response.url().path().to_owned());
        assert_eq!(seen.0, status, "{}", seen.1);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        let problem: abide_api::Problem =
            serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(problem.status, status.as_u16());
    }
    let form = post(&world, &format!("/s/{id}/{key}"), Some(PORTAL), &big).await;
    assert_eq!(form.status(), StatusCode::PAYLOAD_TOO_LARGE);
}
