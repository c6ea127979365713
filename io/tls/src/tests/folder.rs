//! The identity folder.

use super::*;

#[test]
fn a_broker_is_itself_again_after_a_restart_and_is_never_made_twice() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("identity");
    let names = ["desk.example.org".to_owned()];
    let made = BrokerIdentity::create(&folder, CLUSTER, &names, now()).unwrap();
    let loaded = BrokerIdentity::load(&folder).unwrap();
    assert_eq!(loaded.identity.peer(), made.identity.peer());
    assert_eq!(loaded.id().as_str(), made.identity.peer().node.id());
    assert_eq!(loaded.authority.fingerprint(), made.authority.fingerprint());
    assert_eq!(loaded.signing.id(), made.signing.id());
    let again = BrokerIdentity::create(&folder, CLUSTER, &names, now()).unwrap_err();
    assert!(matches!(again, CreateError::Identity(IdentityError::Exists { .. })));

    loaded.authority.renew(&loaded.identity, &folder, now()).unwrap();
    let renewed = BrokerIdentity::load(&folder).unwrap();
    assert_eq!((renewed.id(), renewed.identity.names()), (made.id(), names.to_vec()));

    for (file, mode) in [
        ("key.pem", 0o600),
        ("ca-key.pem", 0o600),
        ("root.key", 0o600),
        ("signing.key", 0o600),
        ("cert.pem", 0o644),
        ("ca.pem", 0o644),
        ("root.pub", 0o644),
    ] {
        let found = std::fs::metadata(folder.join(file)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{file}");
    }
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_signing_key_certified_by_the_root_is_believed() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("identity");
    let broker = BrokerIdentity::create(&folder, CLUSTER, &[], now()).unwrap();
    let certificate =
        broker.authority.certify(broker.id().clone(), broker.signing.verifying_key(), Timestamp(0));
    let mut ring = abide_ticket::KeyRing::new(CLUSTER, broker.identity.root_key());
    assert_eq!(ring.admit(&certificate).unwrap(), broker.signing.id());
}

#[test]
fn a_damaged_exposed_or_mixed_folder_is_refused_with_the_file_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |file: &str| folder.path().join(file);
    let authority = authority();
    let agent = agent_of(&authority);
    agent.save(folder.path()).unwrap();
    assert_eq!(Identity::load(folder.path()).unwrap().peer(), agent.peer());

    std::fs::set_permissions(path("key.pem"), PermissionsExt::from_mode(0o640)).unwrap();
    let refused = Identity::load(folder.path()).unwrap_err();
    assert!(
        matches!(&refused, IdentityError::Exposed { path: p, mode: 0o640 } if *p == path("key.pem"))
    );
    std::fs::set_permissions(path("key.pem"), PermissionsExt::from_mode(0o600)).unwrap();

    for (file, content) in
        [("cert.pem", "x"), ("ca.pem", ""), ("root.pub", "beef"), ("key.pem", "x")]
    {
        let good = std::fs::read(path(file)).unwrap();
        std::fs::write(path(file), content).unwrap();
        assert!(Identity::load(folder.path()).is_err(), "{file}");
        std::fs::write(path(file), good).unwrap();
    }
    std::fs::write(path("cert.pem"), pem_of(&own(&agent_of(&authority)))).unwrap();
    assert!(matches!(Identity::load(folder.path()), Err(IdentityError::Mismatch)));

    agent.save(folder.path()).unwrap();
    std::fs::write(path("ca.pem"), Authority::create(CLUSTER, now()).ca_pem()).unwrap();
    assert!(matches!(Identity::load(folder.path()), Err(IdentityError::Chain(_))));
    std::fs::remove_file(path("ca.pem")).unwrap();
    let refused = Identity::load(folder.path()).unwrap_err();
    assert!(matches!(refused, IdentityError::Read { path: p, .. } if p == path("ca.pem")));
}
