//! Every broker's disk is lost: the table is made anew from what the agents report.

use abide_broker::Founding;
use abide_wire::agent;
use serde_json::{Value, json};

use super::support::{Agent, Broker, PASSPHRASE, Person, until};

/// A session of this person's, running.
async fn started(person: &Person, key: &str) -> String {
    let reply = until("a start succeeds", || async {
        let (status, reply) = person.start("resume-or-start", key).await;
        (status == 200).then_some(reply)
    })
    .await;
    reply["session"]["id"].as_str().unwrap().to_owned()
}

async fn recovery(admin: &Person) -> Value {
    let (status, reply) = admin.call("GET", "/api/v1/cluster/recovery", None, Value::Null).await;
    assert_eq!(status, 200, "{reply}");
    reply
}

async fn is_rebuilding(person: &Person, key: &str) {
    let (status, reply) = person.start("resume-or-start", key).await;
    assert_eq!((status, &reply["type"]), (503, &json!("urn:abide:problem/rebuilding")), "{reply}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_table_comes_back_from_the_agents_and_places_none_before_they_reported() {
    let mut broker = Broker::start().await;
    let (admin, ada, bob) =
        (broker.log_in("root").await, broker.log_in("ada").await, broker.log_in("bob").await);
    let first = Agent::join(&broker, &admin, "host-1").await;
    let stream = first.connect().await;
    let hers = started(&ada, "k1").await;
    drop(stream);
    let mut second = Agent::join(&broker, &admin, "host-2").await;
    let stream = second.connect().await;
    let his = until("he is placed on the second", || async {
        let (status, reply) = bob.start("start", "b1").await;
        (status == 200).then(|| reply["session"]["id"].as_str().unwrap().to_owned())
    })
    .await;
    drop(stream);

    broker.stop().await;
    broker.lose_data();
    let refused = abide_broker::run(broker.settings(), std::future::ready(())).await;
    let refused = refused.unwrap_err();
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(cause.contains("abide broker recover"), "an empty folder is no new cluster: {cause}");
    let _ = std::fs::remove_dir_all(broker.settings().data_dir);
    abide_broker::recover(&broker.settings()).unwrap();
    broker.run().await;

    // Logins that were ended are not remembered, so none from before counts.
    assert_eq!(ada.start("resume-or-start", "k1").await.0, 401);
    let (admin, ada, bob) =
        (broker.log_in("root").await, broker.log_in("ada").await, broker.log_in("bob").await);
    is_rebuilding(&ada, "k1").await;
    let expect = json!({"agents": ["host-1", "host-2"]});
    let path = "/api/v1/cluster/recovery/expect";
    assert_eq!(ada.call("POST", path, None, expect.clone()).await.0, 403);
    assert_eq!(admin.call("POST", path, None, expect).await.0, 200);

    let _first = first.connect().await;
    assert_eq!(started(&ada, "k2").await, hers, "back to one's own as soon as it is known");
    until("the first has reported", || async {
        (recovery(&admin).await["missing"] == json!(["host-2"])).then_some(())
    })
    .await;
    is_rebuilding(&bob, "b2").await;
    assert_eq!(ada.start("start", "k3").await.0, 503, "nor is a second one placed");

    second.fence = Some(agent::Fence { generation: 7, claimant: 3, term: 9, leader: 4 });
    let _second = second.connect().await;
    until("all have reported", || async {
        (recovery(&admin).await["waiting"] == false).then_some(())
    })
    .await;
    assert_eq!(started(&bob, "b3").await, his, "nobody got a second desktop");
    let new = until("new ones are placed again", || async {
        let (status, reply) = bob.start("start", "b4").await;
        (status == 200).then_some(reply)
    })
    .await;
    assert_ne!(new["session"]["id"], json!(his));
    let (_, cluster) = admin.call("GET", "/api/v1/cluster", None, Value::Null).await;
    assert_eq!(cluster["generation"], 8, "above what the agents obeyed: {cluster}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_bundle_brings_a_cluster_back_without_touching_an_agent() {
    let mut broker = Broker::unmade();
    let bundle = broker.folder.path().join("bundle");
    broker.init(Founding::New, Some(&bundle));
    broker.add_users();
    broker.run().await;
    let (admin, ada) = (broker.log_in("root").await, broker.log_in("ada").await);
    let agent = Agent::join(&broker, &admin, "host-1").await;
    let stream = agent.connect().await;
    let hers = started(&ada, "k1").await;
    drop(stream);

    broker.stop().await;
    broker.lose_all();
    let bundle = std::fs::read_to_string(bundle).unwrap();
    let passphrase = PASSPHRASE.to_owned().into();
    broker.init(Founding::Recovered { bundle, passphrase }, None);
    broker.run().await;
    let (admin, ada) = (broker.log_in("root").await, broker.log_in("ada").await);
    let _stream = agent.connect().await;
    assert_eq!(started(&ada, "k1").await, hers, "its order was signed by a broker that is gone");
    assert_eq!(ada.start("start", "k2").await.0, 503, "nobody said that it may go on");
    let go = "/api/v1/cluster/recovery/go";
    assert_eq!(admin.call("POST", go, None, json!({})).await.0, 200);
    assert_eq!(admin.call("POST", go, None, json!({})).await.0, 409);
    assert_eq!(ada.start("start", "k2").await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_key_a_persons_word_brings_each_agents_sessions_back() {
    let mut broker = Broker::start().await;
    let (admin, ada) = (broker.log_in("root").await, broker.log_in("ada").await);
    let mut agent = Agent::join(&broker, &admin, "host-1").await;
    let stream = agent.connect().await;
    let hers = started(&ada, "k1").await;
    drop(stream);

    broker.stop().await;
    broker.lose_all();
    broker.init(Founding::Rebuilt, None);
    broker.run().await;
    let (admin, ada) = (broker.log_in("root").await, broker.log_in("ada").await);
    agent.join_anew(&broker, &admin, "host-1").await;
    let _stream = agent.connect().await;
    let seen = until("an administrator sees it", || async {
        Some(admin.session(&hers).await).filter(|it| !it.is_null())
    })
    .await;
    assert_eq!((&seen["verified"], &seen["user"]), (&json!(false), &json!("")));
    assert!(ada.session(&hers).await.is_null(), "it is handed to nobody");
    is_rebuilding(&ada, "k2").await;
    until("it has reported", || async {
        let agents = recovery(&admin).await["agents"].clone();
        (agents[0]["reported"] == true && agents[0]["unverified"] == 1).then_some(())
    })
    .await;

    let expect = json!({"agents": ["host-1"]});
    assert_eq!(admin.call("POST", "/api/v1/cluster/recovery/expect", None, expect).await.0, 200);
    let confirm = json!({"agent": "host-1"});
    let path = "/api/v1/cluster/recovery/confirm";
    assert_eq!(ada.call("POST", path, None, confirm.clone()).await.0, 403);
    let (status, reply) = admin.call("POST", path, None, confirm).await;
    assert_eq!((status, &reply["sessions"]), (200, &json!(1)), "{reply}");
    assert_eq!(started(&ada, "k1").await, hers);
    let lines = until("what was said of the recovery is recorded", || async {
        let text = std::fs::read_to_string(broker.folder.path().join("data/audit.jsonl")).unwrap();
        let lines = text.lines().map(|it| serde_json::from_str::<Value>(it).unwrap());
        let lines = lines.filter(|it| it["decision"] == "administer");
        let lines: Vec<_> =
            lines.map(|it| format!("{} {} {}", it["user"], it["verdict"], it["reason"])).collect();
        (lines.len() >= 3).then_some(lines)
    })
    .await;
    let told = [
        r#""root" "allowed" "recovery: expect""#,
        r#""ada" "refused" "recovery: confirm""#,
        r#""root" "allowed" "recovery: confirm""#,
    ];
    assert_eq!(lines, told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_recovery_joins_the_table_that_was_made_anew() {
    let mut first = Broker::start().await;
    let admin = first.log_in("root").await;
    let mut second = Broker::join(&first, &admin).await;
    for broker in [&mut first, &mut second] {
        broker.stop().await;
        broker.lose_data();
        abide_broker::recover(&broker.settings()).unwrap();
    }
    first.run().await;
    second.run().await;
    let admin = first.log_in("root").await;
    let cluster = until("both take part in one table", || async {
        let cluster = admin.call("GET", "/api/v1/cluster", None, Value::Null).await.1;
        (cluster["voters"] == 2).then_some(cluster)
    })
    .await;
    let url = second.url("/api/v1/cluster");
    let seen: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    assert_eq!((&seen["leader"], &seen["voters"]), (&cluster["leader"], &json!(2)), "{seen}");
    // It is not consumed by the next loss of its data.
    assert!(!second.identity_dir().join("formation").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_tables_made_anew_one_gives_in_and_says_so() {
    let mut broker = Broker::start().await;
    let admin = broker.log_in("root").await;
    let mut agent = Agent::join(&broker, &admin, "host-1").await;
    drop(agent.connect().await);
    broker.stop().await;
    broker.lose_data();
    abide_broker::recover(&broker.settings()).unwrap();
    broker.run().await;
    let generation = || async {
        let cluster = reqwest::get(broker.url("/api/v1/cluster")).await.ok()?;
        cluster.json::<Value>().await.ok()?["generation"].as_u64()
    };
    let obeyed = |generation| agent::Fence { generation, claimant: 0, term: 1, leader: 1 };

    // What the lost table's last leader had it obey.
    agent.fence = Some(obeyed(3));
    drop(agent.connect().await);
    until("it goes above that", || async { generation().await.filter(|it| *it == 4) }).await;
    let ready = || async { reqwest::get(broker.url("/readyz")).await.unwrap() };
    assert!(ready().await.status().is_success());

    // Who else could have gone above this?
    agent.fence = Some(obeyed(5));
    let _stream = agent.connect().await;
    let said = until("it gives in", || async {
        let ready = ready().await;
        (ready.status() == 503).then_some(ready.text().await.unwrap())
    })
    .await;
    assert!(said.contains("under generation 5") && said.contains("made anew twice"), "{said}");
    assert_eq!(generation().await, Some(4));
}
