//! A further broker joins.

use std::time::Duration;

use abide_broker::JoinError;
use abide_peers::{Patience, dial};
use abide_tls::{BrokerIdentity, JoinToken};
use abide_wire::Speaks;
use abide_wire::peer::EnrollRequest;
use abide_wire::peer::cooperation_client::CooperationClient;
use serde_json::{Value, json};

use super::support::{Agent, Broker, Person, until};

async fn token(admin: &Person, role: &str) -> JoinToken {
    let role = json!({"role": role});
    let (status, reply) = admin.call("POST", "/api/v1/cluster/tokens", None, role).await;
    assert_eq!(status, 200, "{reply}");
    reply["token"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_joins_once_on_a_token_for_brokers_and_has_all_the_clusters_keys() {
    let first = Broker::start().await;
    let admin = first.log_in("root").await;
    let (second, third) = (Broker::unmade(), Broker::unmade());
    let at = [first.agents.to_string()];

    let for_agents = token(&admin, "agent").await;
    let refused = abide_broker::join(&second.settings(), &at, &for_agents).await;
    assert!(matches!(refused, Err(JoinError::Role)), "{refused:?}");

    let for_brokers = token(&admin, "broker").await;
    let id = abide_broker::join(&second.settings(), &at, &for_brokers).await.unwrap();
    let founder = BrokerIdentity::load(&first.settings().identity_dir).unwrap();
    let joined = BrokerIdentity::load(&second.settings().identity_dir).unwrap();
    assert_eq!(*joined.id(), id);
    assert_eq!(joined.authority.root_key(), founder.authority.root_key());
    assert_eq!(joined.authority.ca(), founder.authority.ca());
    assert_ne!(joined.signing.id(), founder.signing.id(), "each broker signs with its own key");
    let brokers = second.settings().identity_dir.join("brokers");
    let known = std::fs::read_to_string(brokers).unwrap();
    for address in [first.agents, second.agents] {
        assert!(known.contains(&address.to_string()), "{address} is not in {known}");
    }

    let refused = abide_broker::join(&third.settings(), &at, &for_brokers).await;
    assert!(matches!(refused, Err(JoinError::Refused { .. })), "{refused:?}");
    assert!(!third.settings().identity_dir.join("key.pem").exists());
    let again = abide_broker::join(&second.settings(), &at, &for_brokers).await;
    assert!(matches!(again, Err(JoinError::Exists { .. })), "{again:?}");
}

/// A broker that has joined asks to take part, once, as a node that answers nobody.
async fn ask_and_die(broker: &Broker, first: &Broker) {
    let identity = BrokerIdentity::load(&broker.settings().identity_dir).unwrap().identity;
    let second = Duration::from_secs(1);
    let patience = Patience { connect: second * 10, probe_after: second, probe_within: second };
    let at = first.agents.to_string();
    let (channel, _) = dial(&at, identity.internal_client(), patience).await.unwrap();
    let mut client = CooperationClient::new(channel);
    let address = broker.agents.to_string();
    let speech = Some(Speaks::here(None).into());
    let asks = EnrollRequest { node: 7, address, speech, ..EnrollRequest::default() };
    client.enroll(asks).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_that_dies_before_it_has_caught_up_keeps_no_other_waiting() {
    let first = Broker::start().await;
    let admin = first.log_in("root").await;
    let dead = Broker::unmade();
    let at = [first.agents.to_string()];
    abide_broker::join(&dead.settings(), &at, &token(&admin, "broker").await).await.unwrap();
    ask_and_die(&dead, &first).await;

    let _third = Broker::join(&first, &admin).await;
    let now = until_two_vote(&admin).await;
    let of_dead = now["brokers"].as_array().unwrap().iter().find(|it| it["id"] == dead.id());
    assert_eq!(of_dead.unwrap()["role"], "joining", "its node is let go: {now}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_whose_data_are_lost_before_it_has_caught_up_is_taken_in_anew() {
    let first = Broker::start().await;
    let admin = first.log_in("root").await;
    let mut second = Broker::unmade();
    let at = [first.agents.to_string()];
    abide_broker::join(&second.settings(), &at, &token(&admin, "broker").await).await.unwrap();
    // Its earlier life. The address answers, but as another node.
    ask_and_die(&second, &first).await;

    second.add_users();
    second.run().await;
    until_two_vote(&admin).await;
}

async fn until_two_vote(admin: &Person) -> Value {
    until("both vote", || async {
        let (_, now) = admin.call("GET", "/api/v1/cluster", None, Value::Null).await;
        (now["voters"] == 2).then_some(now)
    })
    .await
}

async fn until_three_vote(admin: &Person) {
    until("all three vote", || async {
        let (_, now) = admin.call("GET", "/api/v1/cluster", None, Value::Null).await;
        (now["voters"] == 3 && now["can_lose"] == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_broker_has_signed_holds_when_it_comes_back_with_an_emptied_folder() {
    let first = Broker::start().await;
    let admin = first.log_in("root").await;
    let _second = Broker::join(&first, &admin).await;
    let mut third = Broker::join(&first, &admin).await;
    until_three_vote(&admin).await;
    let agent = Agent::join(&first, &admin, "host-1").await;
    let _stream = agent.connect().await;
    let all_three = || async { Some(agent.certificates()).filter(|it| it.len() == 3) };
    let before = until("the agent knows all keys", all_three).await;

    third.stop().await;
    third.lose_data();
    third.run().await;
    until_three_vote(&admin).await;
    // Told on the same stream after whatever the third had to say of itself.
    let another = Agent::join(&first, &admin, "host-2").await;
    let _other = another.connect().await;
    let all_three = || async { Some(another.certificates()).filter(|it| it.len() == 3) };
    let after = until("another agent knows all keys", all_three).await;
    assert_eq!(before, after, "a later certificate for a key does not cover what it signed before");
}
