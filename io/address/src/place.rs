//! What must hold before a service address can be held here, and cleaning up after a killed holder.

use std::io;
use std::net::IpAddr;

use nix::errno::Errno;

use crate::ServiceAddress;
use crate::announce::Announcer;
use crate::link::{self, Link, LinkError};
use crate::netlink::{Netlink, Present, whole_prefix};

/// Why a service address cannot be held, or not be removed, here. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The interface.
    #[error("cannot use the interface {interface}")]
    Interface {
        /// Its name.
        interface: String,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Somebody else put the address on this host.
    #[error(
        "{address}/{prefix} is on this host already, and not by a broker: remove it from the \
         system's own network configuration"
    )]
    Taken {
        /// The address.
        address: IpAddr,
        /// As it was put there.
        prefix: u8,
    },
    /// A capability is missing.
    #[error("holding a service address takes {capability}, which this process does not have")]
    Capability {
        /// Its name.
        capability: &'static str,
    },
    /// The kernel refused something else.
    #[error("cannot ask the kernel about addresses")]
    Kernel(#[source] io::Error),
}

/// A host that can hold the service address: what a [`Holder`](crate::Holder) works with.
#[derive(Debug)]
pub struct Place {
    pub(crate) wanted: ServiceAddress,
    pub(crate) netlink: Netlink,
    pub(crate) announcer: Announcer,
}

/// Looks whether the address can be held here, and removes what a killed holder left.
///
/// # Errors
/// [`PlaceError`]: it cannot.
pub fn prepare(wanted: ServiceAddress) -> Result<Place, PlaceError> {
    let link = find(&wanted)?;
    let mut netlink = Netlink::open().map_err(PlaceError::Kernel)?;
    let present = netlink.list().map_err(PlaceError::Kernel)?;
    for found in &present {
        if wanted.addresses.contains(&found.address) && !is_ours(found, &link) {
            let Present { address, prefix, .. } = *found;
            return Err(PlaceError::Taken { address, prefix });
        }
    }
    let announcer = Announcer::open().map_err(|cause| match cause {
        Errno::EPERM => PlaceError::Capability { capability: "CAP_NET_RAW" },
        other => PlaceError::Kernel(other.into()),
    })?;
    // Also of those that are not there: so the kernel says whether it would obey.
    for address in &wanted.addresses {
        netlink.remove(link.index, *address).map_err(refusal)?;
    }
    Ok(Place { wanted, netlink, announcer })
}

/// Removes what a killed holder left, and says what that was. Leaves an address alone that somebody else
/// put on this host.
///
/// # Errors
/// [`PlaceError`].
pub fn release(wanted: &ServiceAddress) -> Result<Vec<IpAddr>, PlaceError> {
    let link = find(wanted)?;
    let mut netlink = Netlink::open().map_err(PlaceError::Kernel)?;
    let mut present = netlink.list().map_err(PlaceError::Kernel)?;
    present.retain(|it| wanted.addresses.contains(&it.address) && is_ours(it, &link));
    for found in &present {
        netlink.remove(link.index, found.address).map_err(refusal)?;
    }
    Ok(present.iter().map(|it| it.address).collect())
}

/// Whether a holder could have put it there.
fn is_ours(found: &Present, link: &Link) -> bool {
    found.link == link.index && !found.permanent && found.prefix == whole_prefix(found.address)
}

fn find(wanted: &ServiceAddress) -> Result<Link, PlaceError> {
    link::find(&wanted.interface).map_err(|cause: LinkError| PlaceError::Interface {
        interface: wanted.interface.clone(),
        cause: Box::new(cause),
    })
}

fn refusal(cause: io::Error) -> PlaceError {
    match cause.raw_os_error() {
        Some(code) if code == Errno::EPERM as i32 => {
            PlaceError::Capability { capability: "CAP_NET_ADMIN" }
        }
        _ => PlaceError::Kernel(cause),
    }
}
