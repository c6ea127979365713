//! Who shakes hands with whom.

use super::*;

#[tokio::test]
async fn an_agent_and_a_broker_know_each_other() {
    let authority = authority();
    let (broker, agent) = (broker_of(&authority), agent_of(&authority));
    for clients in [Clients::Nodes, Clients::NodesAndNewcomers] {
        let (server, client) =
            shake(broker.internal_server(clients), agent.internal_client(), INTERNAL_NAME)
                .await
                .unwrap();
        assert_eq!(&peer_identity(&server[0]).unwrap(), broker.peer());
        assert_eq!(&peer_identity(&client.unwrap()).unwrap(), agent.peer());
    }
}

#[tokio::test]
async fn another_clusters_nodes_are_refused_on_both_sides() {
    let (here, there) = (authority(), authority());
    let pairs = [(broker_of(&here), agent_of(&there)), (broker_of(&there), agent_of(&here))];
    for (broker, agent) in pairs {
        let server = broker.internal_server(Clients::NodesAndNewcomers);
        assert!(shake(server, agent.internal_client(), INTERNAL_NAME).await.is_err());
    }
}

#[tokio::test]
async fn an_agent_cannot_pose_as_a_broker() {
    let authority = authority();
    let (false_broker, agent) = (agent_of(&authority), agent_of(&authority));
    let server = false_broker.internal_server(Clients::Nodes);
    assert!(shake(server, agent.internal_client(), INTERNAL_NAME).await.is_err());
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let authority = authority();
    let long_ago = now() - Duration::from_secs(900 * 24 * 3600);
    let (old_broker, agent) =
        (node_of(&authority, NodeRole::Broker, long_ago), agent_of(&authority));
    assert!(old_broker.expires_at() < now());
    let server = old_broker.internal_server(Clients::Nodes);
    assert!(shake(server, agent.internal_client(), INTERNAL_NAME).await.is_err());
    let (broker, old_agent) =
        (broker_of(&authority), node_of(&authority, NodeRole::Agent, long_ago));
    let server = broker.internal_server(Clients::Nodes);
    assert!(shake(server, old_agent.internal_client(), INTERNAL_NAME).await.is_err());
}
