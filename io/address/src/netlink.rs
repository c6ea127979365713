//! Addresses in the kernel, by rtnetlink.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{
    AddressAttribute, AddressHeaderFlags, AddressMessage, CacheInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use nix::sys::socket::{self, MsgFlags, SockFlag, SockProtocol, SockType, sockopt};
use nix::sys::time::TimeVal;

use crate::decide::{LIFETIME, Put};

/// The kernel answers while it takes the request; this only keeps a bug from hanging the thread.
const PATIENCE: Duration = Duration::from_secs(1);

/// The largest piece of a listing that the kernel sends.
const PIECE: usize = 32 << 10;

/// A socket to the kernel. Used by one thread, one request after the other.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// An address that is on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Present {
    pub(crate) address: IpAddr,
    pub(crate) prefix: u8,
    /// Its interface, by the kernel's number.
    pub(crate) link: u32,
    /// Whether it has no lifetime.
    pub(crate) permanent: bool,
}

impl Netlink {
    pub(crate) fn open() -> io::Result<Self> {
        let socket = socket::socket(
            socket::AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        let patience = TimeVal::new(PATIENCE.as_secs() as i64, 0);
        socket::setsockopt(&socket, sockopt::ReceiveTimeout, &patience)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Adds the address with its short lifetime, or renews that. Never touches one with another prefix.
    ///
    /// # Errors
    /// Those of the kernel; `EPERM` without CAP_NET_ADMIN.
    pub(crate) fn put(&mut self, link: u32, address: IpAddr) -> io::Result<Put> {
        let message = RouteNetlinkMessage::NewAddress(short_lived(link, address));
        match self.request(message.clone(), NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL) {
            Ok(_) => Ok(Put::Added),
            Err(cause) if cause.raw_os_error() == Some(Errno::EEXIST as i32) => {
                self.request(message, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE)?;
                Ok(Put::Renewed)
            }
            Err(cause) => Err(cause),
        }
    }

    /// Removes the address; nothing happens if it is not there.
    ///
    /// # Errors
    /// Those of the kernel; `EPERM` without CAP_NET_ADMIN.
    pub(crate) fn remove(&mut self, link: u32, address: IpAddr) -> io::Result<()> {
        let message = RouteNetlinkMessage::DelAddress(host_address(link, address));
        match self.request(message, NLM_F_ACK) {
            Err(cause) if cause.raw_os_error() == Some(Errno::EADDRNOTAVAIL as i32) => Ok(()),
            done => done.map(drop),
        }
    }

    /// Every address of this host.
    pub(crate) fn list(&mut self) -> io::Result<Vec<Present>> {
        let all = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        Ok(self.request(all, NLM_F_DUMP)?.iter().filter_map(present).collect())
    }

    fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Vec<AddressMessage>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        socket::send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        self.answer()
    }

    /// What comes until the kernel says that this was all.
    fn answer(&self) -> io::Result<Vec<AddressMessage>> {
        let mut found = Vec::new();
        let mut buffer = vec![0; PIECE];
        loop {
            let length = socket::recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            let mut rest = &buffer[..length];
            while !rest.is_empty() {
                let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(io::Error::other)?;
                let whole = (message.header.length as usize).next_multiple_of(4);
                rest = rest.get(whole..).unwrap_or_default();
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::Error(refusal) if refusal.code.is_some() => {
                        return Err(refusal.to_io());
                    }
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(found),
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(it)) => {
                        found.push(it);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// The prefix's length that covers this address alone.
pub(crate) fn whole_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn host_address(link: u32, address: IpAddr) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.prefix_len = whole_prefix(address);
    message.header.index = link;
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    message
}

fn short_lived(link: u32, address: IpAddr) -> AddressMessage {
    let mut message = host_address(link, address);
    // Looking for duplicates would keep the address silent for a second or more.
    message.header.flags = AddressHeaderFlags::Nodad;
    let mut lifetime = CacheInfo::default();
    lifetime.ifa_valid = LIFETIME.as_secs() as u32;
    // A preferred /128 would become the source of everything that this host sends.
    lifetime.ifa_preferred = if address.is_ipv4() { lifetime.ifa_valid } else { 0 };
    message.attributes.push(AddressAttribute::CacheInfo(lifetime));
    message
}

fn present(message: &AddressMessage) -> Option<Present> {
    // Of a point-to-point address, `Address` is the other end.
    let local = message.attributes.iter().find_map(|it| match it {
        AddressAttribute::Local(ip) => Some(*ip),
        _ => None,
    });
    let address = local.or_else(|| {
        message.attributes.iter().find_map(|it| match it {
            AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        })
    })?;
    Some(Present {
        address,
        prefix: message.header.prefix_len,
        link: message.header.index,
        permanent: message.header.flags.contains(AddressHeaderFlags::Permanent),
    })
}
