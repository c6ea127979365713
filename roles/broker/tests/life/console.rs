//! What the administrators' console asks.

use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::support::{Agent, Broker, Person, until};

async fn get(person: &Person, path: &str) -> (u16, Value) {
    person.call("GET", path, None, Value::Null).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_searched_and_given_by_the_page() {
    let broker = Broker::start().await;
    let admin = broker.log_in("root").await;
    let agent = Agent::join(&broker, &admin, "host-1").await;
    let _stream = agent.connect().await;
    for (user, key) in [("ada", "k1"), ("bob", "k2"), ("ada", "k3")] {
        let person = broker.person(user);
        until("a start succeeds", || async {
            (person.start("start", key).await.0 == 200).then_some(())
        })
        .await;
    }
    let ask = async |query: &str| {
        let (status, reply) = get(&admin, &format!("/api/v1/sessions?{query}")).await;
        assert_eq!(status, 200, "{reply}");
        let users = reply["sessions"].as_array().unwrap().iter().map(|it| it["user"].clone());
        (users.collect::<Vec<_>>(), reply["total"].clone(), reply["counts"].clone())
    };
    let (users, total, counts) = ask("limit=2&sort=user").await;
    assert_eq!((users, total), (vec![json!("ada"), json!("ada")], json!(3)));
    assert_eq!((&counts["running"], &counts["unreachable"]), (&json!(3), &json!(0)));
    assert_eq!(ask("search=BO").await.0, [json!("bob")]);
    assert_eq!(ask("search=host-1&state=ended").await.0, Vec::<Value>::new());
    assert_eq!(ask("skip=2&sort=user").await.0, [json!("bob")]);
    let (_, reply) = get(&admin, "/api/v1/sessions").await;
    let [first, second] =
        [0_usize, 1].map(|at| reply["sessions"][at]["id"].as_str().unwrap().to_owned());
    let (_, page) = get(&admin, &format!("/api/v1/sessions?limit=1&after={first}")).await;
    assert_eq!(page["sessions"][0]["id"], json!(second));

    let (_, reply) = get(&broker.person("bob"), "/api/v1/sessions?search=bob").await;
    assert_eq!((&reply["total"], &reply["counts"]["running"]), (&json!(1), &json!(1)), "one's own");
    for wrong in ["state=runing", "sort=colour", "colour=red", "after=nobody", "limit=x"] {
        let (status, reply) = get(&admin, &format!("/api/v1/sessions?{wrong}")).await;
        assert_eq!(
            (status, &reply["type"]),
            (400, &json!("urn:abide:problem/bad-request")),
            "{wrong}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_broker_wrote_down_and_what_it_heard_are_for_administrators() {
    let broker = Broker::start().await;
    let (admin, ada) = (broker.log_in("root").await, broker.log_in("ada").await);
    let agent = Agent::join(&broker, &admin, "host-1").await;
    let history = format!("/api/v1/agents/{}/history", agent.id);
    for path in ["/api/v1/audit", &history] {
        assert_eq!(get(&ada, path).await.0, 403, "{path}");
    }

    let (_, newest) = get(&admin, "/api/v1/audit?limit=1&decision=login").await;
    assert_eq!(newest["broker"], json!(broker.id()));
    assert_eq!(newest["records"].as_array().unwrap().len(), 1);
    let before = newest["before"].as_str().unwrap();
    let (_, older) = get(&admin, &format!("/api/v1/audit?decision=login&before={before}")).await;
    let users = [&newest, &older].map(|page| page["records"][0]["user"].clone());
    assert_eq!(users, [json!("ada"), json!("root")]);
    assert_eq!(older["before"], Value::Null);
    let (_, none) = get(&admin, "/api/v1/audit?verdict=refused&user=root").await;
    assert_eq!(none["records"], json!([]));
    assert_eq!(get(&admin, "/api/v1/audit?before=elsewhere").await.0, 400);

    let (status, reply) = get(&admin, &history).await;
    assert_eq!(
        (status, &reply["agent"], &reply["every_s"]),
        (200, &json!(agent.id.as_str()), &json!(10))
    );
    assert_eq!(get(&admin, "/api/v1/agents/nobody/history").await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_are_told_of_more_than_sessions() {
    let broker = Broker::start().await;
    let (admin, ada) = (broker.log_in("root").await, broker.log_in("ada").await);
    let told = async |person: &Person, until_told: &str| {
        let request = reqwest::Client::new().get(broker.url("/api/v1/events"));
        let mut stream = request.bearer_auth(&person.token).send().await.unwrap().bytes_stream();
        let mut text = String::new();
        while !text.contains(until_told) {
            text += std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap();
        }
        text
    };
    for topic in ["sessions", "agents", "cluster", "config"] {
        told(&admin, &format!("event: {topic}\n")).await;
    }
    assert!(!told(&ada, "event: sessions\n").await.contains("agents"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_is_served_under_a_policy_of_its_own_files() {
    let broker = Broker::start().await;
    let page = reqwest::get(broker.url("/console")).await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("script-src 'self'; style-src 'self'"), "{policy}");
    let text = page.text().await.unwrap();
    let script = text.split('"').find(|it| it.starts_with("/console/") && it.ends_with(".js"));
    let script = reqwest::get(broker.url(script.unwrap())).await.unwrap();
    assert_eq!(script.status(), 200);
    assert!(script.headers()["cache-control"].to_str().unwrap().contains("immutable"));
}
