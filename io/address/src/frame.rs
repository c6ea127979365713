//! The frames that tell a network's neighbours whose an address is now.

use std::net::{Ipv4Addr, Ipv6Addr};

/// An Ethernet address.
pub(crate) type Mac = [u8; 6];

const BROADCAST: Mac = [0xff; 6];
/// Ethernet's name for ff02::1, all nodes of the link (RFC 2464, section 7).
const ALL_NODES: Mac = [0x33, 0x33, 0, 0, 0, 1];
const ALL_NODES_IP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const ICMPV6: u8 = 58;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// The advertisement replaces what a neighbour's cache has (RFC 4861, section 4.4).
const OVERRIDE: u8 = 0x20;
const TARGET_LINK_LAYER_ADDRESS: u8 = 2;
/// Receivers drop advertisements with any other, as those have come through a router.
const HOP_LIMIT: u8 = 255;

/// The two forms of a gratuitous ARP: some systems learn from one alone (RFC 5944, section 4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArpForm {
    Request,
    Reply,
}

/// A gratuitous ARP packet, 42 bytes: `ip` is at `mac`.
pub(crate) fn gratuitous_arp(form: ArpForm, mac: Mac, ip: Ipv4Addr) -> Vec<u8> {
    let (operation, target) = match form {
        ArpForm::Request => (1, [0; 6]),
        // Linux takes a reply for gratuitous only with the sender's own address as its target.
        ArpForm::Reply => (2, mac),
    };
    let ethernet_ipv4 = [0, 1, 0x08, 0, 6, 4, 0, operation];
    let ip = ip.octets();
    let sides = [&mac[..], &ip, &target, &ip].concat();
    [&BROADCAST[..], &mac, &ETHERTYPE_ARP, &ethernet_ipv4, &sides].concat()
}

/// An unsolicited neighbour advertisement to all nodes, 86 bytes: `ip` is at `mac` (RFC 4861, section
/// 7.2.6).
pub(crate) fn unsolicited_advertisement(mac: Mac, ip: Ipv6Addr) -> Vec<u8> {
    let option = [TARGET_LINK_LAYER_ADDRESS, 1];
    let mut message = vec![NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, OVERRIDE, 0, 0, 0];
    message.extend([&ip.octets()[..], &option, &mac].concat());
    let sum = checksum(ip, ALL_NODES_IP, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let length = message.len() as u8;
    let header = [0x60, 0, 0, 0, 0, length, ICMPV6, HOP_LIMIT];
    let addresses = [ip.octets(), ALL_NODES_IP.octets()].concat();
    [&ALL_NODES[..], &mac, &ETHERTYPE_IPV6, &header, &addresses, &message].concat()
}

/// ICMPv6's checksum over an even number of bytes (RFC 4443, section 2.3; RFC 8200, section 8.1).
fn checksum(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> u16 {
    let pseudo = [message.len() as u32, u32::from(ICMPV6)].map(u32::to_be_bytes).concat();
    let all = [&from.octets()[..], &to.octets(), &pseudo, message].concat();
    let words = all.chunks_exact(2).map(|it| u32::from(u16::from_be_bytes([it[0], it[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}
