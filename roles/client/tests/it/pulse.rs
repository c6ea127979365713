//! Brokers that fall silent instead of breaking the line, and lines that are merely slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use abide_api::{Cluster, Sessions, StartRequest};
use abide_client::{Api, Brokers, OneSecret, WishKey};
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::routing::{get, post};
use tokio::net::TcpListener;

use crate::mock::*;

/// What a person may notice of a leader whose host falls silent, less the election.
const SOON: Duration = Duration::from_millis(1200);

fn api(brokers: Brokers) -> Api {
    Api::new(brokers, "token".to_owned().into())
}

/// Serves an empty list of sessions, notes each request but those for its health, and takes its time.
fn broker(heard: &Heard, start_takes: Duration) -> Router {
    let noted = heard.clone();
    let note = from_fn(move |request: Request, next: Next| {
        if request.uri().path() != "/healthz" {
            noted.note(request.uri().path());
        }
        next.run(request)
    });
    let list = serde_json::to_string(&Sessions::default()).unwrap();
    let start = async move || {
        tokio::time::sleep(start_takes).await;
        serde_json::to_string(&reply("127.0.0.1:1".parse().unwrap(), "t")).unwrap()
    };
    Router::new()
        .route("/api/v1/sessions", get(async move || list).post(start))
        .route("/healthz", get(async || "ok\n"))
        .layer(note)
}

/// Answers nothing any more once the switch is on, on connections old and new.
fn freezing(router: Router) -> (Router, Arc<AtomicBool>) {
    let frozen = Arc::new(AtomicBool::new(false));
    let switch = frozen.clone();
    let layer = from_fn(move |request: Request, next: Next| {
        let frozen = frozen.clone();
        async move {
            let answer = next.run(request).await;
            match frozen.load(Ordering::SeqCst) {
                true => std::future::pending().await,
                false => answer,
            }
        }
    });
    (router.layer(layer), switch)
}

/// Every answer comes so much later.
fn far(router: Router, away: Duration) -> Router {
    router.layer(from_fn(move |request: Request, next: Next| async move {
        tokio::time::sleep(away).await;
        next.run(request).await
    }))
}

#[tokio::test]
async fn a_broker_that_falls_silent_is_left_within_two_pulses() {
    let heard = Heard::default();
    let (router, frozen) = freezing(broker(&heard, Duration::from_millis(100)));
    let first = Server::start(router).await;
    let second = Server::start(broker(&heard, Duration::ZERO)).await;
    let api = api(brokers(vec![first.url(), second.url()]));
    // Long enough to learn how quick the line is.
    api.start(&StartRequest::default(), &WishKey::random()).await.unwrap();
    frozen.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    let key = WishKey::random();
    api.start(&StartRequest::default(), &key).await.unwrap();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_eq!(api.brokers().urls(), [second.url(), first.url()]);
}

#[tokio::test]
async fn a_broker_that_never_spoke_is_left_soon_too() {
    // Connections are made, as a stopped process's kernel makes them, and nobody takes them.
    let stopped = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let heard = Heard::default();
    let second = Server::start(broker(&heard, Duration::ZERO)).await;
    let api = api(brokers(vec![url(stopped.local_addr().unwrap()), second.url()]));
    let begun = Instant::now();
    api.sessions().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_broker_that_works_on_a_long_call_is_asked_once() {
    let heard = Heard::default();
    let second = Heard::default();
    let first = Server::start(broker(&heard, Duration::from_millis(2500))).await;
    let other = Server::start(broker(&second, Duration::ZERO)).await;
    let api = api(brokers(vec![first.url(), other.url()]));
    api.start(&StartRequest::default(), &WishKey::random()).await.unwrap();
    let asked = heard.all().into_iter().filter(|it| it == "/api/v1/sessions").count();
    assert_eq!((asked, second.all().len()), (1, 0));
}

#[tokio::test]
async fn a_slow_line_is_borne() {
    let heard = Heard::default();
    let second = Heard::default();
    // Two missed pulses of a quick line would be over long before any answer.
    let away = Duration::from_millis(700);
    let slow = Server::start(far(broker(&heard, Duration::from_millis(1500)), away)).await;
    let other = Server::start(broker(&second, Duration::ZERO)).await;
    let api = api(brokers(vec![slow.url(), other.url()]));
    api.sessions().await.unwrap();
    api.start(&StartRequest::default(), &WishKey::random()).await.unwrap();
    assert_eq!(second.all(), Vec::<String>::new());
}

#[tokio::test]
async fn a_broker_that_lives_but_does_not_serve_is_left() {
    let heard = Heard::default();
    let not_ready = get(async || (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"));
    let cut_off = broker(&heard, Duration::from_secs(60)).route("/readyz", not_ready);
    let first = Server::start(cut_off).await;
    let second = Server::start(broker(&heard, Duration::ZERO)).await;
    let api = api(brokers(vec![first.url(), second.url()]));
    let begun = Instant::now();
    api.start(&StartRequest::default(), &WishKey::random()).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_login_goes_on_at_another_broker_when_its_own_falls_silent() {
    let prompts = r#"{"conversation":"c1","messages":[],"prompts":[{"style":"echo-off","text":"Password: "}]}"#;
    let accepted =
        r#"{"token":"v4.public.t","user":"ada","messages":[],"expires_at":"2126-11-23T18:54:00Z"}"#;
    let heard = Heard::default();
    let stopped = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/api/v1/login", post(async move || prompts))
        .route("/api/v1/login/{conversation}", post(async || std::future::pending::<()>().await));
    let (router, frozen) = freezing(stopped);
    let first = Server::start(router).await;
    let noted = heard.clone();
    let unknown = post(async || refusal(abide_api::ProblemKind::NotFound));
    let begin = post(async move |body: String| {
        noted.note(body);
        accepted
    });
    let second =
        Router::new().route("/api/v1/login", begin).route("/api/v1/login/{conversation}", unknown);
    let second = Server::start(second).await;
    let brokers = brokers(vec![first.url(), second.url()]);
    let mut secret = Freezing(OneSecret("secret".to_owned().into()), frozen);
    assert_eq!(brokers.login("ada", &mut secret).await.unwrap().user, "ada");
    assert_eq!(heard.all(), [r#"{"answers":["secret"],"username":"ada"}"#]);
}

/// The broker falls silent while the person types.
struct Freezing(OneSecret, Arc<AtomicBool>);

impl abide_client::Asker for Freezing {
    type Error = <OneSecret as abide_client::Asker>::Error;

    fn show(&mut self, _: &abide_api::Message) {}

    fn ask(
        &mut self,
        prompt: &abide_api::Prompt,
    ) -> Result<zeroize::Zeroizing<String>, Self::Error> {
        self.1.store(true, Ordering::SeqCst);
        self.0.ask(prompt)
    }
}

#[tokio::test]
async fn what_the_cluster_no_longer_lists_is_forgotten_unless_a_person_named_it() {
    let list = |urls: &[&str]| {
        let broker = |url: &&str| serde_json::json!({ "id": url, "url": url, "role": "follower", "lag": null });
        serde_json::json!({
            "cluster": "c", "answered_by": "a", "term": 1, "leader": null, "generation": 0, "can_lose": 1, "voters": 3,
            "brokers": urls.iter().map(broker).collect::<Vec<_>>(),
        })
        .to_string()
    };
    let answers =
        [list(&["http://127.0.0.1:2", "http://127.0.0.1:3"]), list(&["http://127.0.0.1:3"])];
    drop(serde_json::from_str::<Cluster>(&answers[0]).unwrap());
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let answer = get(async move || answers[count.fetch_add(1, Ordering::SeqCst)].clone());
    let server = Server::start(Router::new().route("/api/v1/cluster", answer)).await;
    let api = api(brokers(vec![server.url()]));
    let known = || api.brokers().urls().iter().map(ToString::to_string).collect::<Vec<_>>();
    api.cluster().await.unwrap();
    assert_eq!(known(), [server.url().as_str(), "http://127.0.0.1:2", "http://127.0.0.1:3"]);
    api.cluster().await.unwrap();
    assert_eq!(known(), [server.url().as_str(), "http://127.0.0.1:3"]);
    assert_eq!(api.brokers().named(), [server.url()]);
}
