//! Newcomers, and people's browsers.

use super::*;

#[tokio::test]
async fn a_newcomer_finds_the_broker_its_token_pins_and_no_other() {
    let authority = authority();
    let broker = broker_of(&authority);
    let token = |cluster, ca| JoinToken::generate(cluster, ca, NodeRole::Agent, Timestamp(1));
    let right = token(CLUSTER, authority.fingerprint());

    let newcomers = broker.internal_server(Clients::NodesAndNewcomers);
    let (_, client) = shake(newcomers.clone(), join_client(&right), INTERNAL_NAME).await.unwrap();
    assert_eq!(client, None);
    let nodes_only = broker.internal_server(Clients::Nodes);
    assert!(shake(nodes_only, join_client(&right), INTERNAL_NAME).await.is_err());

    let other_cluster = token(ClusterId(Uuid::from_u128(1)), authority.fingerprint());
    let other_ca = token(CLUSTER, Authority::create(CLUSTER, now()).fingerprint());
    for wrong in [other_cluster, other_ca] {
        assert!(shake(newcomers.clone(), join_client(&wrong), INTERNAL_NAME).await.is_err());
    }
    let agent = agent_of(&authority);
    let posing = agent.internal_server(Clients::NodesAndNewcomers);
    assert!(shake(posing, join_client(&right), INTERNAL_NAME).await.is_err());
}

#[tokio::test]
async fn a_person_pins_the_ca_that_a_probe_has_shown() {
    let broker = broker_of(&authority());
    let web = WebCertificate::from_identity(&broker);
    let (probe, seen) = probe_client();
    assert!(shake(web.server_config(), probe, "anything").await.is_err());
    let ca = seen.get().unwrap().last().unwrap();
    assert_eq!(Fingerprint::of(ca), broker.ca_fingerprint());

    let client = Arc::new(trusting_client(ca).unwrap());
    for name in ["localhost", "127.0.0.1"] {
        shake(web.server_config(), client.clone(), name).await.unwrap();
    }
    assert!(shake(web.server_config(), client, "elsewhere.example").await.is_err());
    let other = Arc::new(trusting_client(authority().ca()).unwrap());
    assert!(shake(web.server_config(), other, "localhost").await.is_err());
}

/// A site's certificate as files, from some CA.
fn write_site(folder: &Path) -> Identity {
    let identity = broker_of(&authority());
    let chain: String = identity.shown().now().cert.iter().map(pem_of).collect();
    std::fs::write(folder.join("site.pem"), chain).unwrap();
    let node = tempfile::tempdir().unwrap();
    identity.save(node.path()).unwrap();
    std::fs::copy(node.path().join("key.pem"), folder.join("site.key")).unwrap();
    identity
}

#[tokio::test]
async fn a_site_certificate_is_reloaded_and_a_bad_one_is_told_once_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let first = write_site(folder.path());
    let (pem, key) = (folder.path().join("site.pem"), folder.path().join("site.key"));
    let web = WebCertificate::from_files(pem.clone(), key.clone()).unwrap();
    let server = web.server_config();
    let served_by = async |identity: &Identity| {
        let client = Arc::new(trusting_client(identity.ca()).unwrap());
        shake(server.clone(), client, "localhost").await.is_ok()
    };
    assert!(served_by(&first).await);
    assert_eq!(web.reload().unwrap(), Reload::Unchanged);

    let second = write_site(folder.path());
    assert_eq!(web.reload().unwrap(), Reload::Replaced { expires_at: second.expires_at() });
    assert!(served_by(&second).await && !served_by(&first).await);
    assert_eq!(web.expires_at(), second.expires_at());

    std::fs::write(&key, NodeKey::generate().to_pem().as_bytes()).unwrap();
    assert!(matches!(web.reload(), Err(WebError::Mismatch { .. })));
    assert_eq!(web.reload().unwrap(), Reload::Unchanged);
    std::fs::write(&key, "no key").unwrap();
    assert!(matches!(web.reload(), Err(WebError::Key { path }) if path == key));
    std::fs::write(&pem, "no certificate").unwrap();
    assert!(matches!(web.reload(), Err(WebError::Certificates { path }) if path == pem));
    std::fs::remove_file(&pem).unwrap();
    assert!(matches!(web.reload(), Err(WebError::Read { path, .. }) if path == pem));
    assert_eq!(web.reload().unwrap(), Reload::Unchanged);
    assert!(served_by(&second).await);

    let third = write_site(folder.path());
    assert!(matches!(web.reload(), Ok(Reload::Replaced { .. })));
    assert!(served_by(&third).await);
}
