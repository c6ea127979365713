//! Guessing passwords at three brokers gains nothing over guessing at one.

use std::net::IpAddr;
use std::time::Duration;

use abide_cluster::{BrokerServer, Cluster, Options, TestUser, until};
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(20);
/// Failures of a user from an address that are let through at once.
const BURST: u64 = 5;

/// The status of a login from this address.
async fn log_in(broker: &BrokerServer, user: &TestUser, password: &str, from: IpAddr) -> u16 {
    let client = reqwest::Client::builder().local_address(from).build().unwrap();
    let body = json!({"username": user.name, "answers": [password]});
    let url = format!("{}/api/v1/login", broker.url);
    client.post(url).json(&body).send().await.unwrap().status().as_u16()
}

/// Failures that a broker has counted, its own and those that it was told of.
async fn counted(broker: &BrokerServer) -> u64 {
    let url = format!("{}/metrics", broker.url);
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    let lines = text.lines().filter(|line| line.starts_with("abide_broker_failed_logins_total{"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_spread_over_three_brokers_are_limited_as_at_one() {
    let options = Options { brokers: 3, agents: 0, ..Options::new().unwrap() };
    let cluster = Cluster::start(options).await.unwrap();
    let (ada, bob) = (cluster.add_user("ada").unwrap(), cluster.add_user("bob").unwrap());
    let (guesser, home): (IpAddr, IpAddr) =
        ("127.0.0.77".parse().unwrap(), "127.0.0.78".parse().unwrap());

    for guess in 0..BURST {
        let broker = &cluster.brokers()[usize::try_from(guess).unwrap() % 3];
        assert_eq!(log_in(broker, &ada, "wrong", guesser).await, 401, "guess {guess}");
        for broker in cluster.brokers() {
            until("the failure is known to all", DEADLINE, async || {
                (counted(broker).await == guess + 1).then_some(())
            })
            .await
            .unwrap();
        }
    }
    for broker in cluster.brokers() {
        for password in ["wrong", ada.password.as_str()] {
            assert_eq!(log_in(broker, &ada, password, guesser).await, 429, "{}", broker.name);
        }
        assert_eq!(log_in(broker, &bob, &bob.password, guesser).await, 200, "somebody else");
        assert_eq!(log_in(broker, &ada, &ada.password, home).await, 200, "from elsewhere");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_gone_holds_up_no_login() {
    let options = Options { brokers: 3, agents: 0, ..Options::new().unwrap() };
    let mut cluster = Cluster::start(options).await.unwrap();
    let ada = cluster.add_user("ada").unwrap();
    cluster.kill_broker(2);
    let from = "127.0.0.77".parse().unwrap();
    for guess in 0..BURST {
        assert_eq!(log_in(&cluster.brokers()[0], &ada, "wrong", from).await, 401, "guess {guess}");
    }
    until("the others know", DEADLINE, async || {
        (counted(&cluster.brokers()[1]).await == BURST).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(log_in(&cluster.brokers()[1], &ada, &ada.password, from).await, 429);
}
