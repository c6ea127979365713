//! A broker with played agents: what people are promised, told over HTTP.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod console;
mod hearsay;
mod joining;
mod losing;
mod placement;
mod support;

use std::collections::HashMap;

use std::time::SystemTime;

use abide_tls::{BrokerIdentity, NodeKey, NodeRole, certificates_from_pem, certified_names};
use serde_json::{Value, json};
use support::{Agent, Broker, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_started_found_again_and_ended() {
    let broker = Broker::start().await;
    let (admin, ada) = (broker.log_in("root").await, broker.log_in("ada").await);
    let agent = Agent::join(&broker, &admin, "host-1").await;
    let (status, reply) = ada.start("resume-or-start", "early").await;
    assert_eq!((status, &reply["type"]), (503, &json!("urn:abide:problem/no-agent")));

    let _stream = agent.connect().await;
    let first = until("a start succeeds", || async {
        let (status, reply) = ada.start("resume-or-start", "k1").await;
        (status == 200).then_some(reply)
    })
    .await;
    let id = first["session"]["id"].as_str().unwrap();
    assert_eq!(first["session"]["state"], "running");
    assert_eq!(first["session"]["agent"], agent.id.as_str());
    assert!(first["connect"]["viewer_url"].as_str().unwrap().contains(id));

    for (want, key) in [("resume-or-start", "k1"), ("resume-or-start", "k2")] {
        let (status, again) = ada.start(want, key).await;
        assert_eq!((status, &again["session"]["id"]), (200, &json!(id)));
        assert_ne!(again["connect"]["ticket"], first["connect"]["ticket"]);
    }
    let (status, reply) = ada.start("start", "k1").await;
    assert_eq!((status, &reply["type"]), (422, &json!("urn:abide:problem/key-reused")));
    let (status, other) = ada.start("start", "k3").await;
    assert_eq!(status, 200);
    assert_ne!(other["session"]["id"], json!(id));

    let bob = broker.log_in("bob").await;
    let path = format!("/api/v1/sessions/{id}");
    for (method, path) in [("POST", format!("{path}/connect")), ("DELETE", path.clone())] {
        let (status, _) = bob.call(method, &path, None, json!({})).await;
        assert_eq!(status, 404, "{method} {path} of somebody else");
    }
    let (status, _) = ada.call("DELETE", &path, None, json!({})).await;
    assert_eq!(status, 202);
    until("the session has ended", || async {
        (ada.session(id).await["state"] == "ended").then_some(())
    })
    .await;
    until("the agent may forget it", || async {
        (agent.ledger.lock().unwrap().len() == 1).then_some(())
    })
    .await;
    let (status, reply) = ada.call("POST", &format!("{path}/connect"), None, json!({})).await;
    assert_eq!(status, 410, "{reply}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_resumed_a_session_is_answered_with_its_end_and_starts_no_other() {
    let broker = Broker::start().await;
    let (admin, ada) = (broker.log_in("root").await, broker.log_in("ada").await);
    let agent = Agent::join(&broker, &admin, "host-1").await;
    let _stream = agent.connect().await;
    let id = until("a start succeeds", || async {
        let (status, reply) = ada.start("resume-or-start", "k1").await;
        (status == 200).then(|| reply["session"]["id"].as_str().unwrap().to_owned())
    })
    .await;
    let (status, resumed) = ada.start("resume-or-start", "k2").await;
    assert_eq!((status, &resumed["session"]["id"]), (200, &json!(id)));
    let (status, reply) = ada.start("start", "k2").await;
    assert_eq!((status, &reply["type"]), (422, &json!("urn:abide:problem/key-reused")));

    let before = broker.metric("abide_broker_commit_duration_seconds_count").await;
    for _ in 0..20 {
        let (status, again) = ada.start("resume-or-start", "k2").await;
        assert_eq!((status, &again["session"]["id"]), (200, &json!(id)));
    }
    let after = broker.metric("abide_broker_commit_duration_seconds_count").await;
    assert_eq!(before, after, "a repeat is a read");

    let path = format!("/api/v1/sessions/{id}");
    assert_eq!(ada.call("DELETE", &path, None, json!({})).await.0, 202);
    until("the session has ended", || async {
        (ada.session(&id).await["state"] == "ended").then_some(())
    })
    .await;
    let of_started = ada.start("resume-or-start", "k1").await;
    assert_eq!(of_started.0, 410, "{}", of_started.1);
    assert_eq!(ada.start("resume-or-start", "k2").await, of_started);
    assert_eq!(ada.sessions().await.len(), 1);
    let (status, other) = ada.start("resume-or-start", "k3").await;
    assert_eq!(status, 200);
    assert_ne!(other["session"]["id"], json!(id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_people_at_once_are_shared_evenly_and_one_person_twenty_times_is_one_session() {
    let broker = Broker::start().await;
    let (admin, ada) = (broker.log_in("root").await, broker.log_in("ada").await);
    let agents = [Agent::join(&broker, &admin, "a").await, Agent::join(&broker, &admin, "b").await];
    let _streams = [agents[0].connect().await, agents[1].connect().await];
    until("both agents are heard", || async {
        let (_, reply) = admin.call("GET", "/api/v1/agents", None, json!({})).await;
        let agents = reply["agents"].as_array().unwrap();
        agents.iter().all(|it| it["reachable"] == true).then_some(())
    })
    .await;

    let starts = (0..20).map(|n| {
        let ada = ada.clone();
        tokio::spawn(async move { ada.start("resume-or-start", &format!("at-once-{n}")).await })
    });
    let mut ids = std::collections::HashSet::new();
    for start in starts.collect::<Vec<_>>() {
        let (status, reply) = start.await.unwrap();
        assert_eq!(status, 200, "{reply}");
        ids.insert(reply["session"]["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 1);

    // Placement keeps a user's sessions together, so these are other people: their names are in
    // their tokens only.
    let starts = (0..40).map(|n| {
        let person = broker.person(&format!("user{n}"));
        tokio::spawn(async move { person.start("resume-or-start", "k").await })
    });
    let mut by_agent: HashMap<String, u32> = HashMap::new();
    for start in starts.collect::<Vec<_>>() {
        let (status, reply) = start.await.unwrap();
        assert_eq!(status, 200, "{reply}");
        *by_agent.entry(reply["session"]["agent"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    // With ada's one there are 41: the 40 fill up to 20 and 21 with hers.
    let mut counts: Vec<_> = by_agent.into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts, [20, 20], "40 people, on two agents of equal weight");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_falls_silent_is_told_of_and_comes_back_or_is_proven_lost() {
    let broker = Broker::start().await;
    let (admin, ada) = (broker.log_in("root").await, broker.log_in("ada").await);
    let mut agent = Agent::join(&broker, &admin, "host-1").await;
    let stream = agent.connect().await;
    let id = until("a start succeeds", || async {
        let (status, reply) = ada.start("resume-or-start", "k1").await;
        (status == 200).then(|| reply["session"]["id"].as_str().unwrap().to_owned())
    })
    .await;
    let abandon = format!("/api/v1/sessions/{id}/abandon");
    assert_eq!(ada.call("POST", &abandon, None, json!({})).await.0, 409, "it is reachable");

    drop(stream);
    let unreachable = until("the session is unreachable", || async {
        let session = ada.session(&id).await;
        (session["reachable"] == false).then_some(session)
    })
    .await;
    assert_eq!(unreachable["state"], "running");
    assert!(unreachable["unreachable_since"].is_string());
    let (status, reply) = ada.start("resume-or-start", "k2").await;
    assert_eq!((status, &reply["type"]), (409, &json!("urn:abide:problem/session-unreachable")));
    assert_eq!(reply["session"]["id"], json!(id));
    let connect = format!("/api/v1/sessions/{id}/connect");
    let (status, _) = ada.call("POST", &connect, None, json!({})).await;
    assert_eq!(status, 200, "the client may reach what the broker cannot");

    let stream = agent.connect().await;
    until("it is reachable again", || async {
        (ada.session(&id).await["reachable"] == true).then_some(())
    })
    .await;

    drop(stream);
    agent.boot = "boot-2".parse().unwrap();
    agent.ledger.lock().unwrap().clear();
    let _stream = agent.connect().await;
    let lost = until("the session is lost", || async {
        let session = ada.session(&id).await;
        (session["state"] == "lost").then_some(session)
    })
    .await;
    let reason = lost["reason"].as_str().unwrap();
    assert!(reason.contains("boot-1") && reason.contains("boot-2"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reservation_whose_agent_falls_silent_is_placed_anew() {
    let broker = Broker::start().await;
    let (admin, ada) = (broker.log_in("root").await, broker.log_in("ada").await);
    let mut deaf = Agent::join(&broker, &admin, "deaf").await;
    deaf.obeys = false;
    let stream = deaf.connect().await;
    until("the deaf one is heard", || async {
        let (_, reply) = admin.call("GET", "/api/v1/agents", None, json!({})).await;
        (reply["agents"][0]["reachable"] == true).then_some(())
    })
    .await;
    let starter = ada.clone();
    let start = tokio::spawn(async move { starter.start("resume-or-start", "k1").await });
    until("it is reserved there", || async {
        ada.sessions().await.first().filter(|it| it["state"] == "reserved").map(|_| ())
    })
    .await;
    let other = Agent::join(&broker, &admin, "other").await;
    let _other_stream = other.connect().await;
    drop(stream);
    let (status, reply) = start.await.unwrap();
    assert_eq!(status, 200, "{reply}");
    assert_eq!(reply["session"]["agent"], other.id.as_str());
    let (status, again) = ada.start("resume-or-start", "k1").await;
    assert_eq!((status, &again["session"]["id"]), (200, &reply["session"]["id"]));

    let _stream = deaf.connect().await;
    let old = until("the old reservation is over", || async {
        let all = ada.sessions().await;
        all.into_iter().find(|it| it["agent"] == deaf.id.as_str() && it["ended_at"].is_string())
    })
    .await;
    assert_eq!(old["state"], "ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_was_restarted_knows_sessions_and_keys() {
    let mut broker = Broker::start().await;
    let (admin, ada) = (broker.log_in("root").await, broker.log_in("ada").await);
    let agent = Agent::join(&broker, &admin, "host-1").await;
    let stream = agent.connect().await;
    let before = until("a start succeeds", || async {
        let (status, reply) = ada.start("resume-or-start", "k1").await;
        (status == 200).then_some(reply)
    })
    .await;
    drop(stream);
    broker.stop().await;
    broker.run().await;
    let _stream = agent.connect().await;
    let id = before["session"]["id"].as_str().unwrap();
    let after = until("the session is there", || async {
        let (status, reply) = ada.start("resume-or-start", "k1").await;
        (status == 200).then_some(reply)
    })
    .await;
    assert_eq!(after["session"]["id"], json!(id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_gets_a_clear_error_and_changes_nothing() {
    let broker = Broker::start().await;
    let ada = broker.log_in("ada").await;
    let (status, reply) =
        broker.post("/api/v1/login", None, &json!({"username": "ada", "answers": ["no"]})).await;
    assert_eq!((status, &reply["type"]), (401, &json!("urn:abide:problem/login-refused")));
    let (_, unknown) =
        broker.post("/api/v1/login", None, &json!({"username": "eve", "answers": ["no"]})).await;
    assert_eq!(reply, unknown, "nobody is told which names exist");

    let forged = format!("{}x", ada.token);
    let cases = [
        ("no token", "/api/v1/sessions", None, json!({}), 401),
        ("forged token", "/api/v1/sessions", Some(forged.as_str()), json!({}), 401),
        ("no key", "/api/v1/sessions", Some(&ada.token), json!({}), 400),
        ("unknown field", "/api/v1/login", None, json!({"username": "a", "x": 1}), 400),
        ("a huge body", "/api/v1/login", None, json!({"username": "a".repeat(1 << 20)}), 413),
        (
            "not for everybody",
            "/api/v1/cluster/tokens",
            Some(&ada.token),
            json!({"role": "agent"}),
            403,
        ),
        ("no such thing", "/api/v1/nothing", None, json!({}), 404),
        ("no such method", "/api/v1/agents", Some(&ada.token), json!({}), 405),
    ];
    for (what, path, token, body, expected) in cases {
        let (status, reply) = broker.post(path, token, &body).await;
        assert_eq!(status, expected, "{what}: {reply}");
        assert_eq!(reply["status"], expected, "{what} is told as a problem document: {reply}");
    }
    assert!(ada.sessions().await.is_empty());

    let (status, _) = ada.call("POST", "/api/v1/logout", None, json!({})).await;
    assert_eq!(status, 204);
    let (status, _) = ada.call("GET", "/api/v1/sessions", None, json!({})).await;
    assert_eq!(status, 401, "a token that was logged out is good for nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_the_table_forgot_is_adopted_on_its_order_and_none_without() {
    let mut broker = Broker::start().await;
    let (admin, ada) = (broker.log_in("root").await, broker.log_in("ada").await);
    let agent = Agent::join(&broker, &admin, "host-1").await;
    broker.stop().await;
    broker.keep_data();
    broker.run().await;
    let stream = agent.connect().await;
    let before = until("a start succeeds", || async {
        let (status, reply) = ada.start("resume-or-start", "k1").await;
        (status == 200).then_some(reply)
    })
    .await;
    let id = before["session"]["id"].as_str().unwrap().to_owned();

    drop(stream);
    broker.stop().await;
    broker.bring_kept_data_back();
    broker.run().await;
    assert!(ada.sessions().await.is_empty(), "the table knows nothing of it");
    let forged = agent.claim_without_an_order();
    let _stream = agent.connect().await;
    until("the session is adopted", || async {
        (ada.session(&id).await["state"] == "running").then_some(())
    })
    .await;
    let (status, again) = ada.start("resume-or-start", "k1").await;
    assert_eq!((status, &again["session"]["id"]), (200, &json!(id)), "its key came along");

    let seen = admin.session(&forged).await;
    assert_eq!((&seen["verified"], &seen["user"]), (&json!(false), &json!("")));
    assert!(ada.session(&forged).await.is_null());
    let connect = format!("/api/v1/sessions/{forged}/connect");
    assert_eq!(admin.call("POST", &connect, None, json!({})).await.0, 404);
    assert!(agent.ledger.lock().unwrap().contains_key(&forged.parse().unwrap()), "it lives on");
}

#[tokio::test]
async fn an_agent_that_was_away_hears_of_log_out_everywhere_when_it_is_back() {
    let mut broker = Broker::start().await;
    let admin = broker.log_in("root").await;
    let agent = Agent::join(&broker, &admin, "away").await;
    let ada = broker.log_in("ada").await;
    let everywhere = json!({"everywhere": true});
    let (status, reply) = ada.call("POST", "/api/v1/logout", None, everywhere).await;
    assert_eq!(status, 204, "{reply}");

    let told = || async { agent.log_outs.lock().unwrap().first().cloned() };
    let link = agent.connect().await;
    let first = until("the log-out", told).await;
    assert_eq!(first.0, "ada");
    assert!(first.1 > 0, "the command carries the time");
    drop(link);
    agent.log_outs.lock().unwrap().clear();

    // Again on every link, also of a broker that was started anew.
    broker.stop().await;
    broker.run().await;
    let _link = agent.connect().await;
    assert_eq!(until("the log-out again", told).await, first);
}

#[tokio::test]
async fn an_agents_certificate_is_renewed_for_its_key_and_names_alone() {
    let broker = Broker::start().await;
    let admin = broker.log_in("root").await;
    let mut agent = Agent::join(&broker, &admin, "old").await;
    agent.age(&broker);
    let other = NodeKey::generate().request();
    let refused = agent.renew(other).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{refused}");
    let refused = agent.renew("no request".into()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused}");

    let renewed = agent.renew(agent.identity.request()).await.unwrap();
    let certificate = certificates_from_pem(&renewed).unwrap().remove(0);
    assert_eq!(certified_names(&certificate).unwrap(), ["127.0.0.1"]);
    let folder = tempfile::tempdir().unwrap();
    assert!(agent.identity.is_due(SystemTime::now()));
    agent.identity.renew(folder.path(), &renewed).unwrap();
    assert!(!agent.identity.is_due(SystemTime::now()));
    let _link = agent.connect().await;

    let stranger = Agent::unadmitted(&broker);
    let refused = stranger.renew(stranger.identity.request()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{refused}");
}

#[tokio::test]
async fn a_broker_renews_its_own_certificate_at_start() {
    let mut broker = Broker::start().await;
    broker.stop().await;
    let folder = broker.identity_dir();
    let identity = || BrokerIdentity::load(&folder).unwrap().identity;
    let names = identity().names();
    let old = broker.certificate_of_old(&identity().request(), NodeRole::Broker, &names);
    std::fs::write(folder.join("cert.pem"), old).unwrap();
    let now = SystemTime::now();
    assert!(identity().is_due(now));
    broker.run().await;
    until("a new certificate", || async { (!identity().is_due(now)).then_some(()) }).await;
    assert_eq!(identity().names(), names);
    let end = identity().expires_at().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let metrics = reqwest::get(broker.url("/metrics")).await.unwrap().text().await.unwrap();
    let line =
        format!("abide_certificate_expiry_timestamp_seconds{{certificate=\"node\"}} {end}\n");
    assert!(metrics.contains(&line), "{metrics}");
}

#[tokio::test]
async fn the_word_of_a_trusted_proxy_counts_and_nobody_elses() {
    let mut broker = Broker::start().await;
    let forged = "198.51.100.1, 192.0.2.7";
    let address = async |broker: &Broker, user: &str| {
        let login = reqwest::Client::new()
            .post(broker.url("/api/v1/login"))
            .header("x-forwarded-for", forged)
            .json(&json!({"username": user, "answers": ["wrong"]}));
        assert_eq!(login.send().await.unwrap().status(), 401);
        until("the login's line", || async {
            let text = std::fs::read_to_string(broker.folder.path().join("data/audit.jsonl"));
            let lines = text.unwrap();
            let mut lines = lines.lines().filter_map(|it| serde_json::from_str(it).ok());
            lines.find(|it: &Value| it["user"] == user).map(|it| it["address"].clone())
        })
        .await
    };
    assert_eq!(address(&broker, "ada").await, "127.0.0.1");
    broker.stop().await;
    broker.config = "trusted_proxies = ['127.0.0.0/8']".to_owned();
    broker.run().await;
    assert_eq!(address(&broker, "bob").await, "192.0.2.7");
}
