//! The interface, as it is now: one that was made again has another index, perhaps another MAC.

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::LinkAddr;

use crate::frame::Mac;

/// Ethernet, in the kernel's numbers for kinds of hardware.
const ARPHRD_ETHER: u16 = 1;

/// An Ethernet interface.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    /// The kernel's number for it.
    pub(crate) index: u32,
    pub(crate) mac: Mac,
    /// Its address for a packet socket.
    pub(crate) address: LinkAddr,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("there is no such interface; there are: {}", .others.join(", "))]
    Missing { others: Vec<String> },
    #[error("it is no Ethernet interface, so addresses on it cannot be announced")]
    NotEthernet,
    #[error(transparent)]
    System(#[from] Errno),
}

/// The interface of this name.
pub(crate) fn find(name: &str) -> Result<Link, LinkError> {
    let mut others = Vec::new();
    for found in getifaddrs()? {
        let Some(address) = found.address.as_ref().and_then(|it| it.as_link_addr()).copied() else {
            continue;
        };
        if found.interface_name != name {
            others.push(found.interface_name);
            continue;
        }
        return match address.addr() {
            Some(mac) if address.hatype() == ARPHRD_ETHER => {
                Ok(Link { index: address.ifindex() as u32, mac, address })
            }
            _ => Err(LinkError::NotEthernet),
        };
    }
    Err(LinkError::Missing { others })
}
