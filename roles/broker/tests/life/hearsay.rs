//! Agents that the leader does not hear itself, but another broker does.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Agent, Broker, Person, until};

/// Whoever is not heard for 2.2 s is unreachable.
const LONG: Duration = Duration::from_secs(4);

/// Three brokers, the leader first, an administrator and ada at it.
struct Three {
    brokers: Vec<Broker>,
    admin: Person,
    ada: Person,
}

impl Three {
    async fn start() -> Self {
        let first = Broker::start().await;
        let (admin, ada) = (first.log_in("root").await, first.log_in("ada").await);
        let (second, third) =
            (Broker::join(&first, &admin).await, Broker::join(&first, &admin).await);
        let three = Self { brokers: vec![first, second, third], admin, ada };
        let standing = until("all three vote", || async {
            let now = three.get("/api/v1/cluster").await;
            (now["can_lose"] == 1).then_some(now)
        });
        assert_eq!(standing.await["leader"], json!(three.brokers[0].id()), "the founder leads");
        three
    }

    async fn get(&self, path: &str) -> Value {
        let (status, reply) = self.admin.call("GET", path, None, Value::Null).await;
        assert_eq!(status, 200, "{reply}");
        reply
    }

    /// The only agent, as the leader tells of it.
    async fn agent(&self) -> Value {
        self.get("/api/v1/agents").await["agents"][0].clone()
    }

    async fn until_reachable(&self, reachable: bool) -> Value {
        until("the agent is, or is not, reachable", || async {
            let agent = self.agent().await;
            (agent["reachable"] == reachable).then_some(agent)
        })
        .await
    }

    /// Starts a session, which runs at once.
    async fn starts(&self, key: &str) -> String {
        let (status, reply) = self.ada.start("start", key).await;
        assert_eq!((status, &reply["session"]["state"]), (200, &json!("running")), "{reply}");
        reply["session"]["id"].as_str().unwrap().to_owned()
    }

    /// Ends it, and the agent is told that it may forget it.
    async fn ends(&self, session: &str, agent: &Agent) {
        let path = format!("/api/v1/sessions/{session}");
        let (status, reply) = self.ada.call("DELETE", &path, None, json!({})).await;
        assert_eq!(status, 202, "{reply}");
        let id = session.parse().unwrap();
        until("it has ended, and is forgotten on its agent", || async {
            let is_over = self.ada.session(session).await["state"] == "ended";
            (is_over && !agent.ledger.lock().unwrap().contains_key(&id)).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_only_a_follower_hears_is_reachable_and_obeys() {
    let three = Three::start().await;
    let agent = Agent::join(&three.brokers[0], &three.admin, "host-1").await;
    assert_eq!(three.agent().await["reachable"], false);

    let _stream = agent.connect_to(&three.brokers[1]).await;
    three.until_reachable(true).await;
    until("its load is told of", || async {
        three.agent().await["load"].is_object().then_some(())
    })
    .await;
    let session = three.starts("k1").await;
    let seen = three.ada.session(&session).await;
    assert_eq!((&seen["agent"], &seen["reachable"]), (&json!(agent.id.as_str()), &json!(true)));
    three.ends(&session, &agent).await;

    let everywhere = json!({"everywhere": true});
    let (status, _) = three.ada.call("POST", "/api/v1/logout", None, everywhere).await;
    assert!(status < 300, "{status}");
    until("it is told who was logged out everywhere", || async {
        let told = agent.log_outs.lock().unwrap();
        told.iter().any(|(user, _)| user == "ada").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_stream_to_the_leader_falls_silent_stays_reachable_through_another_broker() {
    let three = Three::start().await;
    let agent = Agent::join(&three.brokers[0], &three.admin, "host-1").await;
    let _stream = agent.connect_to(&three.brokers[2]).await;
    let good = agent.connect_to(&three.brokers[0]).await;
    three.until_reachable(true).await;
    let before = three.starts("k1").await;

    drop(good);
    let _frozen = agent.greet_and_freeze(&three.brokers[0]).await;
    let frozen = Instant::now();
    let watch = async {
        // What does not happen can only be waited for.
        while frozen.elapsed() < LONG {
            let seen = three.agent().await;
            assert_eq!(seen["reachable"], true, "after {:?}: {seen}", frozen.elapsed());
            assert_eq!(three.ada.session(&before).await["unreachable_since"], Value::Null);
        }
    };
    let obey = async {
        let during = three.starts("k2").await;
        three.ends(&before, &agent).await;
        three.ends(&during, &agent).await;
    };
    tokio::join!(watch, obey);

    // Its own stream takes the line's place.
    let _good = agent.connect_to(&three.brokers[0]).await;
    let after = three.starts("k3").await;
    three.ends(&after, &agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_broker_that_carries_goes_another_does_and_with_the_last_the_agent_is_unreachable()
{
    let mut three = Three::start().await;
    let agent = Agent::join(&three.brokers[0], &three.admin, "host-1").await;
    let first = agent.connect_to(&three.brokers[1]).await;
    three.until_reachable(true).await;
    let session = three.starts("k1").await;

    let second = agent.connect_to(&three.brokers[2]).await;
    three.brokers[1].stop().await;
    drop(first);
    let other = three.starts("k2").await;
    three.ends(&session, &agent).await;
    assert_eq!(three.agent().await["reachable"], true);

    drop(second);
    let unreachable = three.until_reachable(false).await;
    assert!(unreachable["unreachable_since"].is_string(), "{unreachable}");
    let seen = three.ada.session(&other).await;
    assert_eq!(seen["unreachable_since"], unreachable["unreachable_since"]);
    assert_eq!((&seen["state"], &seen["reachable"]), (&json!("running"), &json!(false)));

    let _second = agent.connect_to(&three.brokers[2]).await;
    three.until_reachable(true).await;
    three.ends(&other, &agent).await;
}
