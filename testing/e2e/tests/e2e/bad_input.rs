//! What makes no sense: a clear error, and nothing has changed.

use std::path::Path;
use std::process::{Command, Output};

use abide_cluster::{Binaries, Profile};
use abide_e2e::browser::{Browser, id};
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::support::{World, http};

async fn post(url: &str, body: &Value) -> (u16, Value) {
    let response = http().post(url).json(body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_wrong_password_is_refused_as_an_unknown_name_is() {
    let world = World::start(1, Profile::plain()).await;
    let ada = world.person("ada").await;
    let login = world.url("/api/v1/login");
    let mut answers = Vec::new();
    for name in ["ada", "nobody"] {
        let (status, begun) = post(&login, &json!({ "username": name })).await;
        assert_eq!(status, 200, "{begun}");
        let conversation = begun["conversation"].as_str().unwrap();
        let answer = json!({ "answers": ["wrong"] });
        let (status, refused) = post(&format!("{login}/{conversation}"), &answer).await;
        assert_eq!(status, 401, "{refused}");
        assert_eq!(refused["type"], "urn:abide:problem/login-refused");
        answers.push(refused);
    }
    assert_eq!(answers[0], answers[1], "the answer tells who has an account");

    let browser = Browser::start("wrong-password").await.unwrap();
    let tab = browser.open().await.unwrap();
    tab.goto(&world.url("/")).await.unwrap();
    tab.fill(&id("username"), "ada").await.unwrap();
    tab.click(&id("submit")).await.unwrap();
    tab.fill(&id("answer-0"), "wrong").await.unwrap();
    tab.click(&id("submit")).await.unwrap();
    tab.wait(&id("problem")).await.unwrap();
    tab.shoot("refused").await.unwrap();
    let problem = tab.attribute(&id("problem"), "data-status").await.unwrap();
    assert_eq!(problem.as_deref(), Some("401"));
    tab.reached("login").await.unwrap();
    world.log_in(&tab, &ada.user).await;
    assert!(world.admin.sessions().await.unwrap().sessions.is_empty());
}

#[tokio::test]
async fn requests_that_are_too_large_or_make_no_sense_change_nothing() {
    let world = World::start(1, Profile::plain()).await;
    let ada = world.person("ada").await;
    let session = ada.open().await;
    let mebibyte = format!("{{\"username\":\"{}\"}}", "a".repeat(1 << 20));
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let unknown = r#"{"profile":null,"want":"start","please":true}"#.to_owned();
    let cut = r#"{"username":"ada"#.to_owned();
    for (what, body, wanted) in [
        ("1 MiB", mebibyte, 413),
        ("deep", deep, 400),
        ("unknown", unknown, 400),
        ("cut", cut, 400),
    ] {
        let redeem = session.connect.redeem_url.clone();
        for url in [world.url("/api/v1/login"), world.url("/api/v1/sessions"), redeem] {
            let call = http().post(&url).bearer_auth(ada.token.as_str());
            let call =
                call.header("idempotency-key", what).header(CONTENT_TYPE, "application/json");
            let response = call.body(body.clone()).send().await.unwrap();
            assert_eq!(response.status(), wanted, "{what} to {url}");
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
            let problem: Value = response.json().await.unwrap();
            assert!(problem["title"].as_str().is_some_and(|it| !it.is_empty()), "{problem}");
        }
    }
    let call = http().post(world.url("/api/v1/sessions")).bearer_auth(ada.token.as_str());
    let response = call.json(&json!({ "want": "start" })).send().await.unwrap();
    assert_eq!(response.status(), 400, "without an Idempotency-Key");
    assert_eq!(ada.only_session().await.id, session.session.id);
    assert_eq!(crate::support::redeem(&session).await.session, session.session.id);
}

fn run(role: &str, config: &Path) -> Output {
    let abide = Binaries::beside_this_program().unwrap().abide;
    Command::new(abide).args([role, "--config"]).arg(config).output().unwrap()
}

#[test]
fn all_that_is_wrong_with_a_configuration_file_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let broker = "public_url = \"desk\"\ndatadir = \"/nowhere\"\n[listen]\nhttp = 443\n\
                  agnets = \"127.0.0.1:7443\"\n[tls]\nmode = \"of\"\n";
    let agent = "public_url = \"http://127.0.0.1:1\"\nrun_as = \"root\"\nwieght = 3\n[tls]\n\
                 mode = \"off\"\n[[profile]]\nname = \"A B\"\ncommand = 7\ncolour = \"red\"\n";
    for (role, text, wanted) in [
        (
            "broker",
            broker,
            &[
                (1, "public_url"),
                (2, "datadir"),
                (4, "listen.http"),
                (5, "listen.agnets"),
                (7, "tls.mode"),
            ][..],
        ),
        (
            "agent",
            agent,
            &[
                (2, "run_as"),
                (3, "wieght"),
                (7, "profile[1].name"),
                (8, "profile[1].command"),
                (9, "profile[1].colour"),
            ],
        ),
    ] {
        let config = folder.path().join(format!("{role}.toml"));
        std::fs::write(&config, text).unwrap();
        let output = run(role, &config);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        for (line, key) in wanted {
            let place = format!("{}:{line}: {key}", config.display());
            assert!(said.contains(&place), "{place}\nis not in\n{said}");
        }
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 2, "something was made: {left:?}");
    let missing = run("broker", &folder.path().join("missing.toml"));
    assert!(!missing.status.success());
    assert!(String::from_utf8_lossy(&missing.stderr).contains("missing.toml"));
}
