//! What is believed and what is refused, through the public API.

use abide_model::{AgentId, BrokerId, ClusterId, SessionId, Timestamp};
use proptest::prelude::*;
use uuid::Uuid;

use crate::*;

const CLUSTER: ClusterId = ClusterId(Uuid::from_u128(1));
const SESSION: SessionId = SessionId(Uuid::from_u128(2));
const T0: Timestamp = Timestamp(1_700_000_000_000);

fn root() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn broker_key() -> SigningKey {
    SigningKey::from_seed(&[2; 32])
}

fn broker() -> BrokerId {
    "b".repeat(32).parse().unwrap()
}

fn agent() -> AgentId {
    "a".repeat(32).parse().unwrap()
}

fn certificate(key: &SigningKey) -> KeyCertificate {
    KeyCertificate { broker: broker(), public_key: key.verifying_key(), not_before: T0 }
}

fn ring() -> KeyRing {
    let mut ring = KeyRing::new(CLUSTER, root().verifying_key());
    ring.admit(&root().sign(CLUSTER, &certificate(&broker_key()))).unwrap();
    ring
}

fn ticket() -> Ticket {
    Ticket {
        jti: TokenId(Uuid::from_u128(3)),
        session: SESSION,
        agent: agent(),
        user: "ada".parse().unwrap(),
        mode: ViewMode::Control,
        issued_at: T0,
        expires_at: T0.plus(TICKET_LIFETIME_MS),
        status: "v4.public.x".into(),
    }
}

fn login() -> LoginToken {
    LoginToken {
        jti: TokenId(Uuid::from_u128(4)),
        user: "ada".parse().unwrap(),
        groups: vec!["staff".into()],
        role: Role::User,
        issued_at: T0,
        expires_at: T0.plus(43_200_000),
    }
}

fn order() -> StartOrder {
    StartOrder {
        session: SESSION,
        user: "ada".parse().unwrap(),
        agent: agent(),
        profile: "xfce".parse().unwrap(),
        pool: None,
        view_key: "0".repeat(32).parse().unwrap(),
        idempotency_key: "k".parse().unwrap(),
        created_at: T0,
    }
}

#[test]
fn a_key_that_is_certified_again_still_vouches_for_what_it_signed_before() {
    let mut ring = KeyRing::new(CLUSTER, root().verifying_key());
    let day = 24 * 3_600_000;
    let again = KeyCertificate { not_before: T0.plus(day), ..certificate(&broker_key()) };
    ring.admit(&root().sign(CLUSTER, &again)).unwrap();
    let signed = broker_key().sign(CLUSTER, &login());
    assert!(matches!(ring.verify::<LoginToken>(&signed), Err(VerifyError::EarlyKey(_))));
    ring.admit(&root().sign(CLUSTER, &certificate(&broker_key()))).unwrap();
    assert!(ring.verify::<LoginToken>(&signed).is_ok());
}

#[test]
fn what_a_certified_broker_signs_is_believed_with_its_issuer() {
    let token = broker_key().sign(CLUSTER, &ticket());
    let authentic = ring().verify::<Ticket>(&token).unwrap();
    assert_eq!(authentic.issuer(), &broker());
    assert_eq!(authentic.key(), broker_key().id());
    assert_eq!(authentic.judge(T0).unwrap(), &ticket());

    let token = broker_key().sign(CLUSTER, &login());
    assert_eq!(ring().verify::<LoginToken>(&token).unwrap().judge(T0).unwrap(), &login());

    let token = broker_key().sign(CLUSTER, &order());
    assert_eq!(ring().verify_order(&token).unwrap(), order());
}

#[test]
fn a_ticket_holds_from_its_making_to_its_end_give_or_take_the_leeway() {
    let token = broker_key().sign(CLUSTER, &ticket());
    let authentic = ring().verify::<Ticket>(&token).unwrap();
    let end = T0.plus(TICKET_LIFETIME_MS + TICKET_LEEWAY_MS);
    assert_eq!(authentic.forgettable_at(), end);
    assert_eq!(ticket().forgettable_at(), end);
    for (now, holds) in [
        (Timestamp(T0.0 - TICKET_LEEWAY_MS - 1), false),
        (Timestamp(T0.0 - TICKET_LEEWAY_MS), true),
        (Timestamp(end.0 - 1), true),
        (end, false),
        (Timestamp(0), false),
        (Timestamp(u64::MAX), false),
    ] {
        assert_eq!(authentic.judge(now).is_ok(), holds, "{now:?}");
    }
}

#[test]
fn a_login_token_has_a_minute_of_leeway_between_brokers() {
    for (now, holds) in [
        (Timestamp(T0.0 - 60_001), false),
        (Timestamp(T0.0 - 60_000), true),
        (login().expires_at.plus(59_999), true),
        (login().expires_at.plus(60_000), false),
    ] {
        assert_eq!(login().check(now).is_ok(), holds, "{now:?}");
    }
}

#[test]
fn a_ticket_opens_one_session_on_one_agent() {
    let other_agent: AgentId = "c".repeat(32).parse().unwrap();
    let other_session = SessionId(Uuid::from_u128(99));
    assert_eq!(ticket().check_place(&agent(), SESSION), Ok(()));
    assert_eq!(
        ticket().check_place(&other_agent, SESSION),
        Err(WrongPlace::Agent { named: agent() })
    );
    assert_eq!(
        ticket().check_place(&agent(), other_session),
        Err(WrongPlace::Session { named: SESSION })
    );
}

#[test]
fn no_kind_of_token_passes_for_another() {
    let ring = ring();
    let key = broker_key();
    let status = StatusToken {
        jti: login().jti,
        session: SESSION,
        user: login().user,
        issued_at: T0,
        expires_at: login().expires_at,
    };
    let tokens = [
        ("login", key.sign(CLUSTER, &login())),
        ("ticket", key.sign(CLUSTER, &ticket())),
        ("status", key.sign(CLUSTER, &status)),
        ("order", key.sign(CLUSTER, &order())),
        ("key", key.sign(CLUSTER, &certificate(&key))),
    ];
    for (kind, token) in tokens {
        let accepted = [
            ("login", ring.verify::<LoginToken>(&token).is_ok()),
            ("ticket", ring.verify::<Ticket>(&token).is_ok()),
            ("status", ring.verify::<StatusToken>(&token).is_ok()),
            ("order", ring.verify_order(&token).is_ok()),
            ("key", ring.clone().admit(&token).is_ok()),
        ];
        for (as_kind, yes) in accepted {
            // A broker's key certifies no key, not even itself.
            assert_eq!(yes, kind == as_kind && kind != "key", "{kind} as {as_kind}");
        }
    }
}

#[test]
fn another_clusters_tokens_and_keys_are_refused() {
    let elsewhere = ClusterId(Uuid::from_u128(77));
    let token = broker_key().sign(elsewhere, &ticket());
    let refused = ring().verify::<Ticket>(&token).unwrap_err();
    assert!(matches!(refused, VerifyError::Token(TokenError::Signature)));
    let foreign = root().sign(elsewhere, &certificate(&SigningKey::from_seed(&[3; 32])));
    let refused = ring().admit(&foreign).unwrap_err();
    assert!(matches!(refused, VerifyError::Token(TokenError::Signature)));
}

#[test]
fn a_key_without_certificate_is_refused_by_name() {
    let stranger = SigningKey::from_seed(&[9; 32]);
    let token = stranger.sign(CLUSTER, &ticket());
    let refused = ring().verify::<Ticket>(&token).unwrap_err();
    assert!(matches!(refused, VerifyError::UnknownKey(id) if id == stranger.id()));
    let self_made = stranger.sign(CLUSTER, &certificate(&stranger));
    assert!(matches!(ring().admit(&self_made), Err(VerifyError::UnknownKey(_))));
}

#[test]
fn a_withdrawn_key_counts_only_for_the_orders_it_gave_before() {
    let mut ring = ring();
    let key = broker_key();
    ring.withdraw(key.id(), T0.plus(1000));
    ring.withdraw(key.id(), T0.plus(9000));
    let refused = ring.verify::<Ticket>(&key.sign(CLUSTER, &ticket())).unwrap_err();
    assert!(matches!(refused, VerifyError::WithdrawnKey(id) if id == key.id()));
    assert!(ring.verify_order(&key.sign(CLUSTER, &order())).is_ok());
    let late = StartOrder { created_at: T0.plus(1000), ..order() };
    let refused = ring.verify_order(&key.sign(CLUSTER, &late)).unwrap_err();
    assert!(matches!(refused, VerifyError::WithdrawnKey(_)));

    ring.admit(&root().sign(CLUSTER, &certificate(&key))).unwrap();
    assert!(ring.verify::<Ticket>(&key.sign(CLUSTER, &ticket())).is_err(), "admitted anew");
}

#[test]
fn what_a_key_signed_before_its_time_is_refused() {
    let early = StartOrder { created_at: Timestamp(T0.0 - TOKEN_LEEWAY_MS - 1), ..order() };
    let refused = ring().verify_order(&broker_key().sign(CLUSTER, &early)).unwrap_err();
    assert!(matches!(refused, VerifyError::EarlyKey(_)));
}

#[test]
fn keys_and_their_names_have_one_spelling() {
    let key = broker_key().verifying_key();
    assert_eq!(key.to_string().parse::<VerifyingKey>().unwrap(), key);
    assert_eq!(key.id().to_string().parse::<KeyId>().unwrap(), key.id());
    assert_eq!(VerifyingKey::from_bytes(*key.as_bytes()), key);
    for bad in ["", "0", "xyz", &key.to_string().to_uppercase(), &"0".repeat(66)] {
        assert!(bad.parse::<VerifyingKey>().is_err(), "{bad}");
        assert!(bad.parse::<KeyId>().is_err(), "{bad}");
    }
    assert!(!format!("{:?}", broker_key()).contains(&"02".repeat(8)), "the seed is not shown");
}

proptest! {
    #[test]
    fn any_flipped_bit_is_refused(at in 0usize..2000, bit in 0u8..8) {
        let mut token = broker_key().sign(CLUSTER, &ticket()).into_bytes();
        let at = at % token.len();
        token[at] ^= 1 << bit;
        if let Ok(text) = std::str::from_utf8(&token) {
            prop_assert!(ring().verify::<Ticket>(text).is_err());
        }
    }

    #[test]
    fn any_cut_or_appended_text_is_refused(keep in 0usize..2000, more in ".{1,5}") {
        let token = broker_key().sign(CLUSTER, &ticket());
        let cut = &token[..keep % token.len()];
        prop_assert!(ring().verify::<Ticket>(cut).is_err());
        let longer = format!("{token}{more}");
        prop_assert!(ring().verify::<Ticket>(&longer).is_err());
    }
}
