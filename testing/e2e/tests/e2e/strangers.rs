//! Other people, other pages, other servers: none of them gets into a session.

use std::sync::{Arc, Mutex};

use abide_api::SessionReply;
use abide_e2e::browser::Browser;
use abide_e2e::rfb::{Greeting, open};
use abide_e2e::wait::until;
use reqwest::Method;
use reqwest::header::{ORIGIN, SET_COOKIE};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::support::{World, alike, http, photo_in, scene, scene_of};

#[tokio::test]
async fn another_persons_session_is_as_good_as_none() {
    let world = World::start(1, scene()).await;
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    let session = ada.open().await.session;
    let nobodys = uuid::Uuid::now_v7().to_string();
    let before = world.told(&session.id).await;
    for (method, rest) in [
        (Method::POST, "/connect"),
        (Method::POST, "/abandon"),
        (Method::DELETE, ""),
        (Method::GET, "/status"),
    ] {
        let mut answers = Vec::new();
        for id in [&session.id, &nobodys] {
            let url = world.url(&format!("/api/v1/sessions/{id}{rest}"));
            let call = http().request(method.clone(), url).bearer_auth(bob.token.as_str());
            let response = call.send().await.unwrap();
            assert_eq!(response.status(), 404, "{method} {rest}");
            answers.push(response.text().await.unwrap());
        }
        assert_eq!(answers[0], answers[1], "{method} {rest} tells whether the session exists");
    }
    let url = world.url(&format!("/api/v1/sessions/{}", session.id));
    assert_eq!(http().delete(url).send().await.unwrap().status(), 401, "without a login");
    assert_eq!(bob.api.sessions().await.unwrap().sessions, []);
    assert_eq!(world.told(&session.id).await, before);
}

/// A pass as a cookie, got as the portal's form gets it.
async fn cookie(reply: &SessionReply, origin: &str) -> Result<String, u16> {
    let form = format!("ticket={}", reply.connect.ticket);
    let call = http().post(&reply.connect.viewer_url).header(ORIGIN, origin);
    let call = call.header("content-type", "application/x-www-form-urlencoded").body(form);
    let response = call.send().await.unwrap();
    if response.status() != 303 {
        return Err(response.status().as_u16());
    }
    let cookie = response.headers()[SET_COOKIE].to_str().unwrap();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/s/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    Ok(cookie.split(';').next().unwrap().to_owned())
}

#[tokio::test]
async fn a_pass_in_a_cookie_is_for_the_agents_own_page_alone() {
    let world = World::start(1, scene()).await;
    let ada = world.person("ada").await;
    let reply = ada.open().await;
    let agent = world.cluster.agents()[0].url.to_string();
    let agent = agent.trim_end_matches('/');
    let neighbour = format!("{}:8000", agent.rsplit_once(':').unwrap().0);

    let refused = cookie(&reply, &neighbour).await;
    assert_eq!(refused, Err(403), "only a broker's page may send the ticket");
    let cookie = cookie(&reply, world.url("").trim_end_matches('/')).await.unwrap();
    let url = &reply.connect.rfb_url;
    for (origin, wanted) in [
        (Some(neighbour.as_str()), Some(403)),
        (Some("null"), Some(403)),
        (Some("https://example.org"), Some(403)),
        (None, Some(403)),
        (Some(agent), None),
    ] {
        let cookie = Some(cookie.clone());
        let greeting = Greeting { bearer: None, cookie, origin: origin.map(str::to_owned) };
        assert_eq!(open(url, &greeting).await.unwrap().err(), wanted, "from {origin:?}");
    }
    let bearer = cookie.split_once('=').unwrap().1.to_owned();
    let elsewhere = url.replacen("/s/", "/s/0", 1);
    for (url, greeting, wanted) in [
        (url.as_str(), Greeting::default(), 401),
        (url, Greeting { bearer: Some("0".repeat(64)), ..Greeting::default() }, 401),
        (&elsewhere, Greeting { bearer: Some(bearer), ..Greeting::default() }, 404),
    ] {
        assert_eq!(open(url, &greeting).await.unwrap().err(), Some(wanted));
    }
}

/// What a web server was sent, request by request.
type Requests = Arc<Mutex<Vec<String>>>;

/// Somebody else's web server on this host, which keeps what it is sent. Its page says nothing.
async fn neighbour(host: &str) -> (u16, Requests) {
    let listener = TcpListener::bind((host, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Requests::default();
    let kept = requests.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let kept = kept.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut request = String::new();
                while !request.ends_with("\r\n\r\n") {
                    if stream.read_line(&mut request).await.is_ok_and(|it| it > 0) {
                        continue;
                    }
                    return;
                }
                kept.lock().unwrap().push(request);
                let page = "<!doctype html><title>neighbour</title>";
                let length = page.len();
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close";
                let answer = format!("{head}\r\nContent-Length: {length}\r\n\r\n{page}");
                drop(stream.write_all(answer.as_bytes()).await);
            });
        }
    });
    (port, requests)
}

#[tokio::test]
async fn a_neighbours_web_server_never_receives_a_pass() {
    let world = World::start(1, scene()).await;
    let ada = world.person("ada").await;
    let browser = Browser::start("neighbour").await.unwrap();
    let desktop = browser.open().await.unwrap();
    world.open_desktop(&desktop, &ada.user).await;
    let session = ada.only_session().await;
    let display = scene_of(&session.id).await;
    let cookies = browser.cookies().await.unwrap();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    let pass = cookies[0]["value"].as_str().unwrap();

    let viewer_url = desktop.url().await.unwrap();
    let host = viewer_url.split("//").nth(1).unwrap().split(':').next().unwrap();
    let (port, requests) = neighbour(host).await;
    // A cookie that is not kept apart does reach the neighbour.
    desktop.evaluate("document.cookie = 'careless=1; Path=/'").await.unwrap();
    let tab = browser.open().await.unwrap();
    let id = &session.id;
    let paths = ["/".into(), "/s/".into(), format!("/s/{id}"), format!("/s/{id}/0/rfb")];
    for path in &paths {
        tab.goto(&format!("http://{host}:{port}{path}")).await.unwrap();
    }
    // From there to the agent, even with the whole path, which nobody tells: the browser sends the
    // cookie along, since cookies ignore ports; the agent goes by the page.
    let rfb = viewer_url.replacen("http", "ws", 1) + "/rfb";
    let script = format!(
        "new Promise(done => {{ const line = new WebSocket('{rfb}', 'binary'); \
         line.onopen = () => done('open'); line.onclose = () => done('refused'); }})"
    );
    assert_eq!(tab.evaluate(&script).await.unwrap(), "refused");
    let script = format!(
        "fetch('{viewer_url}/rfb/state', {{ credentials: 'include' }}) \
         .then(() => 'read', () => 'refused')"
    );
    assert_eq!(tab.evaluate(&script).await.unwrap(), "refused");

    let requests = requests.lock().unwrap().clone();
    assert!(requests.len() >= paths.len());
    for request in requests {
        assert!(request.contains("careless=1"), "{request}");
        assert!(!request.contains(pass) && !request.contains("abide-pass"), "{request}");
    }
    until("the desktop goes on", async || {
        let shown = desktop.desktop().await.unwrap();
        alike(&photo_in(&display.screen().unwrap()), &photo_in(&shown)).then_some(())
    })
    .await
    .unwrap();
    desktop.reached("connected").await.unwrap();
}
