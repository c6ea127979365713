//! Where sessions go, and the word for it.

use serde_json::Value;

use super::support::{Agent, Broker, Person, until};

async fn explained(person: &Person, query: &str) -> (u16, Value) {
    person.call("GET", &format!("/api/v1/placement{query}"), None, Value::Null).await
}

fn verdicts(placement: &Value) -> Vec<(String, String)> {
    let text = |it: &Value, key: &str| it[key].as_str().unwrap().to_owned();
    let agents = placement["agents"].as_array().unwrap();
    agents.iter().map(|it| (text(it, "name"), text(it, "verdict"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_goes_where_the_explanation_said() {
    let broker = Broker::start().await;
    let (root, ada) = (broker.log_in("root").await, broker.log_in("ada").await);
    let (_, none) = explained(&ada, "").await;
    assert_eq!(none["refusal"], "No desktop host can be reached.");
    let mut small = Agent::join(&broker, &root, "small").await;
    small.max_sessions = Some(1);
    let mut large = Agent::join(&broker, &root, "large").await;
    large.weight = 3;
    let _streams = (small.connect().await, large.connect().await);
    until("both have told their load", || async {
        let agents = root.call("GET", "/api/v1/agents", None, Value::Null).await.1;
        let agents = agents["agents"].as_array().unwrap().clone();
        let is_there = |it: &Value| it["reachable"] == true && !it["load"].is_null();
        (agents.len() == 2 && agents.iter().all(is_there)).then_some(())
    })
    .await;
    for n in 0..5 {
        let (_, before) = explained(&ada, "").await;
        assert!(before["taken"].is_string(), "{before}");
        let user = broker.person(&format!("u{n}"));
        let (status, started) = user.start("start", "k").await;
        assert_eq!(status, 200, "{started}");
        assert_eq!(started["session"]["agent"], before["taken"], "{before}");
    }
    let (_, after) = explained(&root, "?user=ada&profile=desktop").await;
    assert_eq!((after["user"].as_str(), after["profile"].as_str()), (Some("ada"), Some("desktop")));
    let expected = [("large", "taken"), ("small", "full")].map(|(a, b)| (a.into(), b.into()));
    assert_eq!(verdicts(&after), expected, "{after}");
    assert_eq!(after["agents"][0]["load"].as_f64(), Some(4.0 / 3.0), "{after}");
    assert_eq!(after["agents"][1]["why"], "it has 1 session and takes 1 at most");

    let (_, nobody) = explained(&root, "?user=ada&profile=other").await;
    assert_eq!(nobody["taken"], Value::Null);
    assert_eq!(
        nobody["refusal"],
        "No desktop host that can be reached offers the profile \"other\"."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_others_only_administrators_ask_and_a_bad_question_is_told_so() {
    let broker = Broker::start().await;
    let ada = broker.log_in("ada").await;
    for (query, status) in [
        ("?user=ada", 200),
        ("?user=bob", 403),
        ("?groups=wheel", 403),
        ("?user=a/b", 400),
        ("?profile=A%20B", 400),
        ("?usr=ada", 400),
    ] {
        let (found, problem) = explained(&ada, query).await;
        assert_eq!(found, status, "{query}: {problem}");
    }
}
