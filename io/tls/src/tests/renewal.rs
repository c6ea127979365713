//! Certificates that are due, and those that take their place.

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn a_certificate_is_due_in_the_last_third_of_its_life() {
    let (authority, begin) = (authority(), now());
    let agent = node_of(&authority, NodeRole::Agent, begin);
    assert!(!agent.is_due(begin + 540 * DAY));
    assert!(agent.is_due(begin + 560 * DAY));
    assert!(agent.is_due(begin + 900 * DAY), "one that has ended is");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_by_what_is_in_use_already() {
    let authority = authority();
    let folder = tempfile::tempdir().unwrap();
    let old = now() - 600 * DAY;
    let broker = node_of(&authority, NodeRole::Broker, old);
    let agent = node_of(&authority, NodeRole::Agent, old);
    let web = WebCertificate::from_identity(&broker);
    let (listener, dialer) = (broker.internal_server(Clients::Nodes), agent.internal_client());
    let shown = async || shake(listener.clone(), dialer.clone(), INTERNAL_NAME).await.unwrap();
    let (first_of_broker, first_of_agent) = shown().await;

    agent.save(folder.path()).unwrap();
    let issued = authority.issue(&agent.request(), NodeRole::Agent, &agent.names(), now()).unwrap();
    agent.renew(folder.path(), &issued.pem).unwrap();
    authority.renew(&broker, folder.path(), now()).unwrap();
    let (of_broker, of_agent) = shown().await;
    assert_ne!(of_broker[0], first_of_broker[0]);
    assert_ne!(of_agent, first_of_agent);
    assert_eq!(agent.names(), ["localhost", "127.0.0.1"]);
    assert_eq!(web.expires_at(), broker.expires_at());
    assert!(!broker.is_due(now()) && !agent.is_due(now()));
}

#[test]
fn a_certificate_that_is_not_this_nodes_or_not_of_now_renews_nothing() {
    let authority = authority();
    let folder = tempfile::tempdir().unwrap();
    let agent = node_of(&authority, NodeRole::Agent, now() - 600 * DAY);
    agent.save(folder.path()).unwrap();
    let stored = || std::fs::read(folder.path().join("cert.pem")).unwrap();
    let (before, expires_at) = (stored(), agent.expires_at());
    let issue = |request: &str, role, when| authority.issue(request, role, &[], when).unwrap().pem;
    let other = NodeKey::generate().request();
    for wrong in [
        issue(&other, NodeRole::Agent, now()),
        issue(&agent.request(), NodeRole::Broker, now()),
        issue(&agent.request(), NodeRole::Agent, now() + 10 * DAY),
        issue(&agent.request(), NodeRole::Agent, now() - 900 * DAY),
        "no certificate".to_owned(),
    ] {
        assert!(agent.renew(folder.path(), &wrong).is_err());
        assert_eq!((stored(), agent.expires_at()), (before.clone(), expires_at));
    }
}
