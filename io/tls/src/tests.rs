//! Real handshakes over an in-memory pipe, and the folder on disk.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use abide_model::{ClusterId, Timestamp};
use proptest::prelude::*;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use uuid::Uuid;

use crate::*;

const CLUSTER: ClusterId = ClusterId(Uuid::from_u128(0xabcd));

fn now() -> SystemTime {
    SystemTime::now()
}

fn authority() -> Authority {
    Authority::create(CLUSTER, now())
}

fn node_of(authority: &Authority, role: NodeRole, when: SystemTime) -> Identity {
    let key = NodeKey::generate();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let issued = authority.issue(&key.request(), role, &names, when).unwrap();
    Identity::new(key, &issued.pem, &authority.ca_pem(), authority.root_key()).unwrap()
}

fn broker_of(authority: &Authority) -> Identity {
    node_of(authority, NodeRole::Broker, now())
}

fn agent_of(authority: &Authority) -> Identity {
    node_of(authority, NodeRole::Agent, now())
}

fn own(identity: &Identity) -> CertificateDer<'static> {
    identity.shown().own().unwrap()
}

/// What each side knows of the other once both have said a word; an error if either refused.
async fn shake(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: &'static str,
) -> std::io::Result<(Vec<CertificateDer<'static>>, Option<CertificateDer<'static>>)> {
    let (near, far) = tokio::io::duplex(16 * 1024);
    let server = async move {
        let mut stream = TlsAcceptor::from(server).accept(far).await?;
        let first = |certs: &[CertificateDer<'_>]| certs.first().map(|c| c.clone().into_owned());
        let client = stream.get_ref().1.peer_certificates().and_then(first);
        stream.write_all(b"hello").await?;
        stream.shutdown().await?;
        std::io::Result::Ok(client)
    };
    let client = async move {
        let name = ServerName::try_from(name).unwrap();
        let mut stream = TlsConnector::from(client).connect(name, near).await?;
        let server = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
        let mut word = Vec::new();
        // In TLS 1.3 a client learns only now whether its certificate was accepted.
        stream.read_to_end(&mut word).await?;
        std::io::Result::Ok(server)
    };
    let (seen_by_client, seen_by_server) = tokio::join!(client, server);
    Ok((seen_by_client?, seen_by_server?))
}

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

#[test]
fn a_certificate_is_issued_for_the_requests_key_and_says_what_the_authority_chose() {
    let authority = authority();
    let key = NodeKey::generate();
    let names = ["desk.example.org".to_owned(), "::1".to_owned()];
    let issued = authority.issue(&key.request(), NodeRole::Agent, &names, now()).unwrap();
    assert_eq!(issued.node, key.node(NodeRole::Agent));
    let certificate = &certificates_from_pem(&issued.pem).unwrap()[0];
    let peer = peer_identity(certificate).unwrap();
    assert_eq!(peer, PeerIdentity { cluster: CLUSTER, node: issued.node });
    assert_eq!(peer.to_string().parse::<PeerIdentity>().unwrap(), peer);

    assert_eq!(peer_identity(authority.ca()), Err(NotANode::Uri));
    assert_eq!(peer_identity(&CertificateDer::from(vec![1, 2, 3])), Err(NotANode::Unreadable));
    for bad in ["not pem", &issued.pem] {
        let refused = authority.issue(bad, NodeRole::Agent, &[], now()).unwrap_err();
        assert!(matches!(refused, IssueError::Request(_)), "{refused:?}");
    }
    for name in ["", "two words", "http://x", "ü"] {
        let names = [name.to_owned()];
        let refused = authority.issue(&key.request(), NodeRole::Agent, &names, now()).unwrap_err();
        assert!(matches!(refused, IssueError::Name { .. }), "{name:?}: {refused:?}");
    }
}

#[test]
fn a_request_that_its_key_did_not_sign_is_refused() {
    let request = NodeKey::generate().request();
    let mut der = pem::parse(&request).unwrap().contents().to_vec();
    // The last byte is the signature's.
    *der.last_mut().unwrap() ^= 1;
    let forged = pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", der));
    let refused = authority().issue(&forged, NodeRole::Agent, &[], now()).unwrap_err();
    assert!(matches!(refused, IssueError::Request(_)), "{refused:?}");
}

#[test]
fn a_node_has_one_spelling() {
    let id = "0123456789abcdef0123456789abcdef";
    let good = format!("abide://{CLUSTER}/broker/{id}");
    assert_eq!(good.parse::<PeerIdentity>().unwrap().to_string(), good);
    for bad in [
        good.to_uppercase(),
        good.replace("broker", "admin"),
        good.replace('-', ""),
        good.replace("abide:", "spiffe:"),
        format!("{good}/"),
        good[..good.len() - 1].to_owned(),
        String::new(),
    ] {
        assert_eq!(bad.parse::<PeerIdentity>(), Err(NotANode::Uri), "{bad}");
    }
}

#[test]
fn a_join_token_survives_being_carried_and_shows_no_secret_by_accident() {
    let ca = Fingerprint([7; 32]);
    let token = JoinToken::generate(CLUSTER, ca, NodeRole::Agent, Timestamp(1_234_567));
    let text = token.to_text();
    let read: JoinToken = format!(" {}\n", *text).parse().unwrap();
    assert_eq!(read, token);
    assert_eq!(read.hash(), secret_hash(&token.secret()));
    assert!(!format!("{token:?}").contains(token.secret().as_str()));
    let other = JoinToken::generate(CLUSTER, ca, NodeRole::Agent, Timestamp(1_234_567));
    assert_ne!(other.hash(), token.hash());
}

#[test]
fn a_fingerprint_is_read_as_openssl_and_as_people_write_it() {
    let print = Fingerprint::of(authority().ca());
    let shown = print.to_string();
    assert_eq!(shown.len(), 95);
    for text in [shown.clone(), shown.replace(':', "").to_lowercase()] {
        assert_eq!(text.parse::<Fingerprint>().unwrap(), print);
    }
    assert!("AB:CD".parse::<Fingerprint>().is_err());
}

proptest! {
    #[test]
    fn any_mistyped_join_token_is_refused(at in 0usize..200, other in "[A-Za-z0-9_-]") {
        let token = JoinToken::generate(
            CLUSTER, Fingerprint([7; 32]), NodeRole::Broker, Timestamp(1));
        let text = token.to_text();
        let at = at % text.len();
        let mut typed = text.to_string();
        typed.replace_range(at..=at, &other);
        if typed != *text {
            prop_assert_eq!(typed.parse::<JoinToken>(), Err(InvalidJoinToken));
        }
    }

    #[test]
    fn no_text_or_bytes_make_it_panic(
        text in "(abide1\\.|abide://|-----BEGIN CERTIFICATE-----\n)?.{0,200}",
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        cut in 0usize..400,
        flip in 0usize..400,
    ) {
        let _ = text.parse::<JoinToken>();
        let _ = text.parse::<PeerIdentity>();
        let _ = text.parse::<Fingerprint>();
        let _ = certificates_from_pem(&text);
        let _ = NodeKey::from_pem(&text);
        let _ = peer_identity(&CertificateDer::from(bytes));
        let mut near = NODE.with(|certificate| certificate.to_vec());
        let flip = flip % near.len();
        near[flip] ^= 0x41;
        near.truncate(near.len() - cut % near.len());
        let _ = peer_identity(&CertificateDer::from(near));
    }
}

thread_local! {
    static NODE: CertificateDer<'static> = own(&broker_of(&authority()));
}
