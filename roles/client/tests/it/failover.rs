use std::time::{Duration, Instant};

use abide_api::{IDEMPOTENCY_KEY, ProblemKind, Sessions, StartRequest};
use abide_client::{Api, Brokers, CallError, WishKey};
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tokio::net::TcpListener;

use crate::mock::*;

fn api(brokers: Brokers) -> Api {
    Api::new(brokers, "token".to_owned().into())
}

fn no_sessions() -> String {
    serde_json::to_string(&Sessions::default()).unwrap()
}

/// Serves an empty list of sessions.
fn serving() -> Router {
    Router::new().route("/api/v1/sessions", get(async || no_sessions()))
}

#[tokio::test]
async fn a_dead_broker_is_passed_over_and_the_living_one_asked_first_from_then_on() {
    let living = Server::start(serving()).await;
    let dead = nobody().await;
    let api = api(brokers(vec![dead.clone(), living.url()]));
    api.sessions().await.unwrap();
    assert_eq!(api.brokers().urls(), [living.url(), dead]);
}

#[tokio::test]
async fn a_start_whose_line_breaks_goes_to_the_next_broker_under_the_same_key() {
    let heard = Heard::default();
    // The first broker takes the whole request, then its connection breaks without an answer.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let first = url(listener.local_addr().unwrap());
    let noted = heard.clone();
    tokio::spawn(async move {
        use tokio::io::AsyncReadExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 4096];
        let mut text = String::new();
        while !text.contains("resume-or-start") {
            let length = stream.read(&mut bytes).await.unwrap();
            assert!(length > 0);
            text.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        let key = text.lines().find_map(|line| line.strip_prefix("idempotency-key: "));
        noted.note(key.unwrap());
    });
    let noted = heard.clone();
    let agent = nobody().await;
    let agent = format!("{}:{}", agent.host(), agent.port()).parse().unwrap();
    let start = post(async move |headers: HeaderMap| {
        noted.note(header_of(&headers, IDEMPOTENCY_KEY));
        serde_json::to_string(&reply(agent, "t")).unwrap()
    });
    let second = Server::start(Router::new().route("/api/v1/sessions", start)).await;

    let api = api(brokers(vec![first, second.url()]));
    let key = WishKey::random();
    let started = api.start(&StartRequest::default(), &key).await.unwrap();
    assert_eq!(started.session.id, SESSION);
    let keys = heard.all();
    assert_eq!(keys.len(), 2);
    assert!(!keys[0].is_empty() && keys[0] == keys[1]);
}

#[tokio::test]
async fn a_broker_without_a_leader_is_asked_again_when_it_said_so() {
    let heard = Heard::default();
    let noted = heard.clone();
    let answer = get(async move || {
        noted.note("asked");
        match noted.all().len() {
            1 => ([("retry-after", "1")], refusal(ProblemKind::Unavailable)).into_response(),
            _ => no_sessions().into_response(),
        }
    });
    let server = Server::start(Router::new().route("/api/v1/sessions", answer)).await;
    let begun = Instant::now();
    api(brokers(vec![server.url()])).sessions().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(heard.all().len(), 2);
}

#[tokio::test]
async fn of_several_brokers_without_a_leader_none_makes_the_first_wait_long() {
    let heard = Heard::default();
    let noted = heard.clone();
    let answer = get(async move || {
        noted.note("asked");
        match noted.all().len() {
            1 | 2 => ([("retry-after", "2")], refusal(ProblemKind::Unavailable)).into_response(),
            _ => no_sessions().into_response(),
        }
    });
    let router = Router::new().route("/api/v1/sessions", answer);
    let (one, two) = (Server::start(router.clone()).await, Server::start(router).await);
    let begun = Instant::now();
    api(brokers(vec![one.url(), two.url()])).sessions().await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    assert_eq!(heard.all().len(), 3);
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_asked_of_nobody_else() {
    let heard = Heard::default();
    let refusing = |kind: ProblemKind| {
        let noted = heard.clone();
        let answer = get(async move || {
            noted.note("asked");
            refusal(kind)
        });
        Router::new().route("/api/v1/sessions", answer)
    };
    let first = Server::start(refusing(ProblemKind::Forbidden)).await;
    let second = Server::start(refusing(ProblemKind::Forbidden)).await;
    let error = api(brokers(vec![first.url(), second.url()])).sessions().await.unwrap_err();
    assert_eq!(error.kind(), Some(ProblemKind::Forbidden));
    assert_eq!(heard.all(), ["asked"]);

    // 503 for want of hosts is an answer too, unlike 503 for want of a leader.
    let full = Server::start(refusing(ProblemKind::NoAgent)).await;
    let error = api(brokers(vec![full.url()])).sessions().await.unwrap_err();
    assert_eq!(error.kind(), Some(ProblemKind::NoAgent));
}

#[tokio::test]
async fn an_unreachable_session_comes_with_its_refusal() {
    let answer = post(async || {
        let problem = ProblemKind::SessionUnreachable.bare();
        let body = abide_api::UnreachableProblem { problem, session: session() };
        (StatusCode::CONFLICT, serde_json::to_string(&body).unwrap())
    });
    let server = Server::start(Router::new().route("/api/v1/sessions", answer)).await;
    let api = api(brokers(vec![server.url()]));
    match api.start(&StartRequest::default(), &WishKey::random()).await {
        Err(CallError::Refused { session: Some(session), .. }) => assert_eq!(session.id, SESSION),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn patience_is_bounded_and_the_error_names_who_was_asked() {
    let (one, two) = (nobody().await, nobody().await);
    let patience = Duration::from_millis(300);
    let api = api(brokers(vec![one.clone(), two.clone()]).with_patience(patience));
    let begun = Instant::now();
    let error = api.sessions().await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5));
    let text = error.to_string();
    assert!(matches!(error, CallError::Silent { .. }), "{text}");
    assert!(text.contains(one.as_str()) && text.contains(two.as_str()), "{text}");
}
