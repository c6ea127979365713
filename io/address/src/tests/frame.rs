//! The frames, byte for byte.

use crate::frame::{ArpForm, Mac, gratuitous_arp, unsolicited_advertisement};

const MAC: Mac = [0x02, 0, 0, 0, 0, 0x0a];

#[test]
fn a_gratuitous_request_asks_everybody_for_its_own_address() {
    let frame = gratuitous_arp(ArpForm::Request, MAC, [192, 0, 2, 10].into());
    #[rustfmt::skip]
    assert_eq!(frame, [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0, 0, 0x0a, 0x08, 0x06,
        0, 1, 0x08, 0, 6, 4, 0, 1,
        0x02, 0, 0, 0, 0, 0x0a, 192, 0, 2, 10,
        0, 0, 0, 0, 0, 0, 192, 0, 2, 10,
    ]);
}

#[test]
fn a_gratuitous_reply_names_its_sender_as_the_target_too() {
    let frame = gratuitous_arp(ArpForm::Reply, MAC, [192, 0, 2, 10].into());
    #[rustfmt::skip]
    assert_eq!(frame[14..], [
        0, 1, 0x08, 0, 6, 4, 0, 2,
        0x02, 0, 0, 0, 0, 0x0a, 192, 0, 2, 10,
        0x02, 0, 0, 0, 0, 0x0a, 192, 0, 2, 10,
    ]);
}

#[test]
fn an_unsolicited_advertisement_overrides_at_all_nodes() {
    let ip = "2001:db8::10".parse().unwrap();
    let frame = unsolicited_advertisement(MAC, ip);
    #[rustfmt::skip]
    assert_eq!(frame, [
        0x33, 0x33, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 0x0a, 0x86, 0xdd,
        0x60, 0, 0, 0, 0, 32, 58, 255,
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
        136, 0, 0xf9, 0x03, 0x20, 0, 0, 0,
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        2, 1, 0x02, 0, 0, 0, 0, 0x0a,
    ]);
}
