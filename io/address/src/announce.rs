//! Sends announcements: whole frames, so that neither routes nor source addresses matter.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, sendto, socket};

use crate::frame::{ArpForm, gratuitous_arp, unsolicited_advertisement};
use crate::link::Link;

/// A packet socket that receives nothing.
#[derive(Debug)]
pub(crate) struct Announcer(OwnedFd);

impl Announcer {
    /// # Errors
    /// `EPERM` without CAP_NET_RAW.
    pub(crate) fn open() -> Result<Self, Errno> {
        // A full queue must not hold the renewals up.
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        socket(AddressFamily::Packet, SockType::Raw, flags, None).map(Self)
    }

    /// Tells everybody on the link that `address` is here.
    pub(crate) fn announce(&self, link: &Link, address: IpAddr) -> Result<(), Errno> {
        let frames = match address {
            IpAddr::V4(ip) => [ArpForm::Request, ArpForm::Reply]
                .map(|form| gratuitous_arp(form, link.mac, ip))
                .to_vec(),
            IpAddr::V6(ip) => vec![unsolicited_advertisement(link.mac, ip)],
        };
        frames.iter().try_for_each(|frame| {
            sendto(self.0.as_raw_fd(), frame, &link.address, MsgFlags::empty()).map(drop)
        })
    }
}
