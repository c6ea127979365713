//! Messages as bytes, in pieces of any size, well-meant and not.

use proptest::prelude::*;

use super::*;
use crate::message::{
    KeyState, Rect, Update, key_event, pointer_event, set_encodings, set_pixel_format,
    update_request,
};

const AREA: Rect = Rect { x: 1, y: 2, width: 3, height: 4 };

fn fence(payload: &[u8]) -> Vec<u8> {
    let mut out = vec![248, 0, 0, 0, 0x80, 0, 0, 1, u8::try_from(payload.len()).unwrap()];
    out.extend(payload);
    out
}

fn cut_text(length: i32) -> Vec<u8> {
    let mut out = vec![6, 0, 0, 0];
    out.extend(length.to_be_bytes());
    out.extend(vec![4u8; length.unsigned_abs() as usize]);
    out
}

fn desktop_size(screens: u8) -> Vec<u8> {
    let mut out = vec![251, 0, 4, 0, 3, 0, screens, 0];
    out.extend(vec![5u8; 16 * usize::from(screens)]);
    out
}

fn gii(kind: u8, length: u16) -> Vec<u8> {
    let bytes = if kind & 0x80 == 0 { length.to_le_bytes() } else { length.to_be_bytes() };
    let mut out = vec![253, kind, bytes[0], bytes[1]];
    out.extend(vec![6u8; length.into()]);
    out
}

fn continuous() -> Vec<u8> {
    vec![150, 1, 0, 0, 0, 0, 4, 0, 3, 0]
}

fn passing() -> Vec<Vec<u8>> {
    vec![
        set_pixel_format(),
        set_encodings(&[]),
        set_encodings(&[7, 16, 0, -223, -308, 0xC0A1_E5CE_u32.cast_signed()]),
        update_request(Update::Incremental, AREA),
        update_request(Update::Full, AREA),
        fence(b""),
        fence(b"ping"),
        fence(&[4; 64]),
        continuous(),
    ]
}

fn dropped() -> Vec<Vec<u8>> {
    vec![
        key_event(KeyState::Down, 0x61),
        pointer_event(0xff, 3, 5),
        cut_text(0),
        cut_text(1000),
        cut_text(-36),
        desktop_size(0),
        desktop_size(3),
        vec![250, 0, 1, 2],
        gii(0x81, 2),
        gii(0x02, 300),
        [&[255, 0, 0, 1][..], &[0; 8]].concat(),
        vec![255, 1, 0, 0],
        vec![255, 1, 0, 1],
        vec![255, 1, 0, 2, 3, 2, 0, 0, 0xac, 0x44],
    ]
}

#[test]
fn what_asks_for_pixels_passes_uncopied() {
    let all = passing().concat();
    let mut filter = ViewOnlyFilter::new();
    for message in passing().iter().chain([&all]) {
        let out = filter.filter(message).unwrap();
        assert!(matches!(out, Cow::Borrowed(out) if out == message.as_slice()));
    }
}

#[test]
fn what_would_change_anything_is_dropped_to_its_last_byte() {
    let probe = update_request(Update::Full, AREA);
    for message in dropped() {
        let mut filter = ViewOnlyFilter::new();
        assert_eq!(filter.filter(&message).unwrap().as_ref(), b"", "type {}", message[0]);
        let out = filter.filter(&probe).unwrap();
        assert_eq!(out.as_ref(), probe, "after type {}", message[0]);
    }
}

#[test]
fn an_unknown_type_closes_the_connection_for_good() {
    for kind in (0..=255u8).filter(|kind| verdict(*kind).is_none()) {
        let mut filter = ViewOnlyFilter::new();
        let chunk = [&continuous()[..], &[kind]].concat();
        assert_eq!(filter.filter(&chunk), Err(FilterError::UnknownType { kind }));
        assert_eq!(filter.filter(&continuous()), Err(FilterError::Over));
    }
    let mut filter = ViewOnlyFilter::new();
    let unknown = FilterError::UnknownQemu { kind: 1, operation: 3 };
    assert_eq!(filter.filter(&[255, 1, 0, 3]), Err(unknown));
    let mut filter = ViewOnlyFilter::new();
    let unknown = FilterError::UnknownQemu { kind: 9, operation: 0 };
    assert_eq!(filter.filter(&[255, 9, 0, 0]), Err(unknown));
}

#[test]
fn the_encoding_that_lengthens_pointer_events_is_kept_from_the_server() {
    let asked = set_encodings(&[7, -316, 16]);
    let told = set_encodings(&[7, 0, 16]);
    assert_eq!(ViewOnlyFilter::new().filter(&asked).unwrap().as_ref(), told);
    let mut filter = ViewOnlyFilter::new();
    let bytewise: Vec<u8> =
        asked.iter().flat_map(|byte| filter.filter(&[*byte]).unwrap().into_owned()).collect();
    assert_eq!(bytewise, told);
}

/// Takes a stream apart on its own terms, and panics at anything that may not be in it.
fn assert_harmless(mut stream: &[u8]) {
    while let Some(kind) = stream.first() {
        let length = match kind {
            0 => 20,
            2 if stream.len() >= 4 => 4 + 4 * usize::from(u16_at(stream, 2)),
            3 | 150 => 10,
            248 if stream.len() >= 9 => 9 + usize::from(stream[8]),
            2 | 248 => stream.len(),
            other => panic!("type {other} got through"),
        };
        // The stream may end within a message.
        stream = &stream[length.min(stream.len())..];
    }
}

fn in_pieces(stream: &[u8], sizes: &[usize]) -> (Vec<u8>, Option<FilterError>) {
    let mut filter = ViewOnlyFilter::new();
    let mut out = Vec::new();
    let mut rest = stream;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        rest = after;
        match filter.filter(piece) {
            Ok(passed) => out.extend_from_slice(&passed),
            Err(error) => return (out, Some(error)),
        }
    }
    (out, None)
}

proptest! {
    #[test]
    fn pieces_of_any_size_let_the_same_through(
        order in prop::collection::vec(0usize..1000, 0..30),
        sizes in prop::collection::vec(1usize..50, 1..10),
    ) {
        let (good, bad) = (passing(), dropped());
        let mut stream = Vec::new();
        let mut want = Vec::new();
        for n in order {
            if let Some(message) = good.get(n % (good.len() + bad.len())) {
                stream.extend(message);
                want.extend(message);
            } else {
                stream.extend(&bad[n % (good.len() + bad.len()) - good.len()]);
            }
        }
        prop_assert_eq!(in_pieces(&stream, &sizes), (want.clone(), None));
        prop_assert_eq!(in_pieces(&stream, &[usize::MAX]), (want, None));
    }

    #[test]
    fn hostile_bytes_let_nothing_forbidden_through(
        parts in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 1..40),
                prop::sample::select(vec![0u8, 2, 3, 4, 5, 6, 150, 248, 250, 251, 253, 255])
                    .prop_map(|kind| vec![kind]),
                prop::sample::select([passing(), dropped()].concat()),
            ],
            0..20,
        ),
        sizes in prop::collection::vec(1usize..50, 1..10),
    ) {
        let stream = parts.concat();
        let (out, error) = in_pieces(&stream, &sizes);
        assert_harmless(&out);
        let (whole, whole_error) = in_pieces(&stream, &[usize::MAX]);
        assert_harmless(&whole);
        prop_assert_eq!(error, whole_error);
        if error.is_none() {
            prop_assert_eq!(out, whole);
        }
    }
}
