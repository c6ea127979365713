//! Requests, and what people copy by hand.

use super::*;

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
