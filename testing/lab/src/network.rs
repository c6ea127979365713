//! The hosts of a world, and the switch between them.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::ensure;

use crate::ip::ip;
use crate::world::{ROOM, is_inside};

/// The first three bytes of every address.
pub const PREFIX: [u8; 3] = [10, 77, 0];
/// The switch's network namespace.
pub(crate) const SWITCH: &str = "switch";
/// The last byte of the address of the lab itself.
const CLIENT: u8 = 250;

/// Runs something on a host: in its network namespace, with its /tmp and /run, and with its own folder
/// where display servers compile their keyboards: two of one number write the same file there, and
/// numbers are a host's own.
const ON: &str = r#"#!/bin/sh
host=$1; shift
exec ip netns exec "$host" /bin/sh -c '
room=$1; shift
mount --bind "$room/tmp" /tmp && mount --bind "$room/run" /run || exit 90
xkb=/var/lib/xkb
if [ -d "$xkb" ]; then mount --bind "$room/xkb" "$xkb" || exit 90; fi
exec "$@"' \
on "/mnt/hosts/$host" "$@"
"#;

/// A host: a network namespace named as its IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// The last byte of its addresses.
    pub number: u8,
}

impl Host {
    /// Its IPv4 address.
    pub fn v4(self) -> Ipv4Addr {
        let [a, b, c] = PREFIX;
        Ipv4Addr::new(a, b, c, self.number)
    }

    /// Its IPv6 address.
    pub fn v6(self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, u16::from(self.number))
    }

    /// The address of its network card.
    pub fn mac(self) -> String {
        format!("02:00:0a:4d:00:{:02x}", self.number)
    }

    /// Its network namespace.
    pub fn namespace(self) -> String {
        self.v4().to_string()
    }

    /// Its port at the switch.
    pub(crate) fn port(self) -> String {
        format!("port{}", self.number)
    }
}

/// The network of a world. It goes with the world.
#[derive(Debug)]
pub struct Network {
    hosts: Vec<Host>,
}

impl Network {
    /// Makes the switch, the client's own link, and these hosts.
    ///
    /// # Errors
    /// Outside of a world, or when one of the steps fails.
    pub fn new(numbers: impl IntoIterator<Item = u8>) -> anyhow::Result<Self> {
        ensure!(is_inside(), "networks are made inside a world only");
        let on = Self::on();
        std::fs::write(&on, ON)?;
        std::fs::set_permissions(&on, PermissionsExt::from_mode(0o755))?;
        ip(&format!("netns add {SWITCH}"))?;
        ip(&format!("-n {SWITCH} link add br0 type bridge"))?;
        ip(&format!("-n {SWITCH} link set br0 up"))?;
        ip("link set lo up")?;
        let client = Host { number: CLIENT };
        plug(client, &std::process::id().to_string())?;
        address(client, "")?;
        let mut network = Self { hosts: Vec::new() };
        for number in numbers {
            network.add(Host { number })?;
        }
        Ok(network)
    }

    /// All hosts.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The program that runs something on the host whose address is its first argument.
    pub fn on() -> PathBuf {
        Path::new(ROOM).join("on")
    }

    /// Where the lab itself is.
    pub fn client() -> Host {
        Host { number: CLIENT }
    }

    fn add(&mut self, host: Host) -> anyhow::Result<()> {
        let room = Path::new(ROOM).join("hosts").join(host.namespace());
        for folder in ["tmp", "run", "xkb"] {
            std::fs::create_dir_all(room.join(folder))?;
        }
        std::fs::set_permissions(room.join("tmp"), PermissionsExt::from_mode(0o1777))?;
        self.hosts.push(host);
        plug_in(host)
    }
}

/// Makes the host's namespace, with a cable to the switch and its addresses.
///
/// # Errors
/// When one of the steps fails.
pub fn plug_in(host: Host) -> anyhow::Result<()> {
    let name = host.namespace();
    ip(&format!("netns add {name}"))?;
    ip(&format!("-n {name} link set lo up"))?;
    plug(host, &name)?;
    address(host, &format!("-n {name}"))
}

/// Pulls the cable out, and gives up the namespace: it goes with the last process in it, and every
/// address with it.
///
/// # Errors
/// When one of the steps fails.
pub fn pull_out(host: Host) -> anyhow::Result<()> {
    ip(&format!("-n {SWITCH} link delete {}", host.port()))?;
    ip(&format!("netns delete {}", host.namespace()))
}

/// A cable from the host's eth0 to the switch.
fn plug(host: Host, namespace: &str) -> anyhow::Result<()> {
    let (port, mac) = (host.port(), host.mac());
    ip(&format!(
        "-n {SWITCH} link add {port} type veth peer name eth0 address {mac} netns {namespace}"
    ))?;
    ip(&format!("-n {SWITCH} link set {port} master br0 up"))
}

/// Brings eth0 up, with the host's addresses.
pub(crate) fn address(host: Host, within: &str) -> anyhow::Result<()> {
    ip(&format!("{within} link set eth0 up"))?;
    // Without one, what is broadcast comes back to its sender alone.
    ip(&format!("{within} address add {}/24 broadcast + dev eth0", host.v4()))?;
    ip(&format!("{within} address add {}/64 dev eth0 nodad", host.v6()))
}
