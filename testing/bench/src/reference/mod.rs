//! What Abide is measured against: other people's software, run as its manuals say, on loopback.

mod fsync;
mod relays;
mod x2gobroker;
mod xvnc;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::{env, io};

pub use fsync::Synced;
pub use relays::{Haproxy, Websockify};
pub use x2gobroker::X2goBroker;
pub use xvnc::{BareXvnc, Started};

/// Why a reference cannot be measured here.
#[derive(Debug, thiserror::Error)]
#[error("{program} is not installed; apt-get install {package}")]
pub struct NotInstalled {
    program: &'static str,
    package: &'static str,
}

/// The program, if it is there.
fn installed(program: &'static str, package: &'static str) -> Result<PathBuf, NotInstalled> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = places.map(|folder| folder.join(program)).find(|file| is_program(file));
    found.ok_or(NotInstalled { program, package })
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

/// An address on loopback that nobody listens at now.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
