//! Both sides against fixed bytes, and against each other, in pieces of any size.

use proptest::prelude::*;

use super::client::*;
use super::server::*;
use super::*;
use crate::password::VncPassword;

const CHALLENGE: [u8; 16] = [3; 16];

fn password() -> ServerSecurity {
    ServerSecurity::VncAuth { password: VncPassword::new("secret"), challenge: CHALLENGE }
}

fn init() -> ServerInit {
    ServerInit { width: 800, height: 600, pixel_format: [9; 16], name: b"ada's desktop".to_vec() }
}

/// What a server says to a viewer that says this, and what comes of it.
fn serve(
    security: ServerSecurity,
    said: &[u8],
) -> (Vec<u8>, Result<Option<Accepted>, ServerHandshakeError>) {
    let mut out = Vec::new();
    let mut input = said;
    let end = ServerHandshake::new(security).feed(&mut input, &mut out);
    (out, end)
}

/// What a client says to a display server that says this, and what comes of it.
fn dial(
    security: ClientSecurity,
    said: &[u8],
) -> (Vec<u8>, Result<Option<ServerInit>, ClientHandshakeError>) {
    let mut out = Vec::new();
    let mut input = said;
    let end = ClientHandshake::new(security).feed(&mut input, &mut out);
    (out, end)
}

#[test]
fn viewers_of_every_version_get_in_without_a_password() {
    let accepted = |version, shared| Ok(Some(Accepted { version, shared }));
    for (said, answer, end) in [
        (&b"RFB 003.008\n\x01\x01"[..], &b"\x01\x01\0\0\0\0"[..], accepted(Version::V38, true)),
        (b"RFB 003.889\n\x01\x00", b"\x01\x01\0\0\0\0", accepted(Version::V38, false)),
        (b"RFB 003.007\n\x01\x01", b"\x01\x01", accepted(Version::V37, true)),
        (b"RFB 003.003\n\x01", b"\0\0\0\x01", accepted(Version::V33, true)),
        (b"RFB 003.005\n\x00", b"\0\0\0\x01", accepted(Version::V33, false)),
    ] {
        assert_eq!(serve(ServerSecurity::None, said), (answer.to_vec(), end));
    }
}

#[test]
fn a_viewer_with_a_password_must_know_it() {
    let right = VncPassword::new("secret").respond(&CHALLENGE);
    let wrong = VncPassword::new("guess").respond(&CHALLENGE);
    for (version, accepted) in [("008", Version::V38), ("007", Version::V37), ("003", Version::V33)]
    {
        let say = |response: [u8; 16]| {
            let mut said = format!("RFB 003.{version}\n").into_bytes();
            if version != "003" {
                said.push(SECURITY_VNC);
            }
            said.extend(response);
            said.push(1);
            said
        };
        let (_, end) = serve(password(), &say(right));
        assert_eq!(end, Ok(Some(Accepted { version: accepted, shared: true })));
        let (out, end) = serve(password(), &say(wrong));
        assert_eq!(end, Err(ServerHandshakeError::Password));
        let told = out.windows(15).any(|said| said == b"Wrong password.");
        assert_eq!(told, accepted == Version::V38);
    }
}

#[test]
fn a_viewer_that_speaks_no_rfb_or_chooses_what_is_not_offered_is_refused() {
    for said in [&b"GET / HTTP/1.1\r\n"[..], b"RFB 002.001\n", b"RFB 003x008\n", b"RFB +03.008\n"] {
        assert_eq!(serve(ServerSecurity::None, said).1, Err(ServerHandshakeError::Version));
    }
    let (out, end) = serve(ServerSecurity::None, b"RFB 003.008\n\x10\x01");
    assert_eq!(end, Err(ServerHandshakeError::Security { chosen: 16 }));
    assert!(out.starts_with(b"\x01\x01\0\0\0\x01\0\0\0"));
    let (_, end) = serve(password(), b"RFB 003.008\n\x01");
    assert_eq!(end, Err(ServerHandshakeError::Security { chosen: 1 }));

    let mut handshake = ServerHandshake::new(ServerSecurity::None);
    let mut out = Vec::new();
    assert!(handshake.feed(&mut &b"GET / HTTP/1.1\r\n"[..], &mut out).is_err());
    let again = handshake.feed(&mut &b"RFB 003.008\n"[..], &mut out);
    assert_eq!(again, Err(ServerHandshakeError::Over));
}

#[test]
fn display_servers_of_every_version_are_entered_shared() {
    let none = || ClientSecurity::None;
    let key = || ClientSecurity::VncAuth(VncPassword::new("secret"));
    let response = VncPassword::new("secret").respond(&CHALLENGE);
    let join = |parts: &[&[u8]]| parts.concat();
    let init_bytes = init().encode();
    for (security, said, answer) in [
        (
            none(),
            join(&[b"RFB 003.008\n\x02\x01\x02\0\0\0\0", &init_bytes]),
            join(&[b"RFB 003.008\n\x01\x01"]),
        ),
        (
            key(),
            join(&[b"RFB 003.008\n\x02\x01\x02", &CHALLENGE, &[0; 4], &init_bytes]),
            join(&[b"RFB 003.008\n\x02", &response, b"\x01"]),
        ),
        (none(), join(&[b"RFB 003.007\n\x01\x01", &init_bytes]), join(&[b"RFB 003.007\n\x01\x01"])),
        (
            key(),
            join(&[b"RFB 003.003\n\0\0\0\x02", &CHALLENGE, &[0; 4], &init_bytes]),
            join(&[b"RFB 003.003\n", &response, b"\x01"]),
        ),
        (none(), join(&[b"RFB 003.003\n\0\0\0\x01", &init_bytes]), join(&[b"RFB 003.003\n\x01"])),
    ] {
        assert_eq!(dial(security, &said), (answer, Ok(Some(init()))));
    }
}

#[test]
fn a_display_servers_refusal_is_passed_on_in_its_words() {
    let refused = |reason: &str| Err(ClientHandshakeError::Refused { reason: reason.into() });
    let key = || ClientSecurity::VncAuth(VncPassword::new("secret"));
    for (said, end) in [
        (&b"RFB 003.008\n\0\0\0\0\x04full"[..], refused("full")),
        (b"RFB 003.003\n\0\0\0\0\0\0\0\x04full", refused("full")),
        (b"RFB 003.008\n\x01\x020123456789abcdef\0\0\0\x01\0\0\0\x02no", refused("no")),
        (b"RFB 003.007\n\x01\x020123456789abcdef\0\0\0\x01", refused("")),
        (
            b"RFB 003.008\n\x02\x01\x13",
            Err(ClientHandshakeError::Security { wanted: 2, offered: vec![1, 19] }),
        ),
        (
            b"RFB 003.003\n\0\0\0\x01",
            Err(ClientHandshakeError::Security { wanted: 2, offered: vec![1] }),
        ),
        (b"RFB 003.008\n\0\xff\0\0\0", Err(ClientHandshakeError::TooLong { length: 0xff00_0000 })),
        (b"SSH-2.0-OpenSSH_9.2p1\n", Err(ClientHandshakeError::Version)),
    ] {
        assert_eq!(dial(key(), said).1, end);
    }
}

/// Feeds `input` in pieces of these sizes, for ever repeated.
fn in_pieces<T>(
    mut input: &[u8],
    sizes: &[usize],
    mut feed: impl FnMut(&mut &[u8]) -> Option<T>,
) -> (Option<T>, usize) {
    for size in sizes.iter().cycle() {
        if input.is_empty() {
            break;
        }
        let (mut piece, rest) = input.split_at((*size).min(input.len()));
        let done = feed(&mut piece);
        input = rest;
        if done.is_some() {
            return (done, piece.len() + input.len());
        }
    }
    (None, 0)
}

proptest! {
    #[test]
    fn pieces_of_any_size_make_the_same_handshake_and_leave_the_rest(
        sizes in prop::collection::vec(1usize..40, 1..8),
        tail in prop::collection::vec(any::<u8>(), 0..60),
        with_password: bool,
    ) {
        let right = VncPassword::new("secret");
        let (server_security, client_security) = if with_password {
            (password(), ClientSecurity::VncAuth(right.clone()))
        } else {
            (ServerSecurity::None, ClientSecurity::None)
        };

        // What the client says, told from a whole run against fixed server bytes.
        let mut server_says = ServerHandshake::GREETING.to_vec();
        let (kind, proof) = if with_password { (2, &CHALLENGE[..]) } else { (1, &[][..]) };
        server_says.extend([1, kind]);
        server_says.extend(proof);
        server_says.extend([0; 4]);
        server_says.extend(init().encode());
        let (client_says, _) = dial(client_security.clone(), &server_says);

        server_says.extend(&tail);
        let mut client = ClientHandshake::new(client_security);
        let mut said = Vec::new();
        let (done, left) =
            in_pieces(&server_says, &sizes, |piece| client.feed(piece, &mut said).unwrap());
        prop_assert_eq!(done, Some(init()));
        prop_assert_eq!(left, tail.len());
        prop_assert_eq!(&said, &client_says);

        let viewer_says = [&client_says[..], &tail].concat();
        let mut server = ServerHandshake::new(server_security);
        let mut out = Vec::new();
        let (done, left) =
            in_pieces(&viewer_says, &sizes, |piece| server.feed(piece, &mut out).unwrap());
        prop_assert_eq!(done, Some(Accepted { version: Version::V38, shared: true }));
        prop_assert_eq!(left, tail.len());
    }

    #[test]
    fn no_bytes_make_either_side_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        version in "RFB 003\\.00[378]\n|",
    ) {
        let said = [version.as_bytes(), &bytes].concat();
        let _ = serve(password(), &said);
        let _ = serve(ServerSecurity::None, &said);
        let _ = dial(ClientSecurity::VncAuth(VncPassword::new("x")), &said);
        let _ = dial(ClientSecurity::None, &said);
    }
}
