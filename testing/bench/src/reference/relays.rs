//! Relays from TLS to a display server's Unix socket.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use super::{free_address, installed};
use crate::program::{ProcError, Program, cpu_of_family};
use crate::rfb::{Line, Relay, Trust, WebSocket};

const HOST: &str = "localhost";

/// websockify: Python, a process per connection.
pub struct Websockify(Served);

/// HAProxy, which ends TLS and passes the bytes on. No WebSocket: less work than the others have.
pub struct Haproxy(Served);

struct Served {
    program: Program,
    address: SocketAddr,
    trust: Trust,
}

/// A certificate for this host, signed by itself.
struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    both: PathBuf,
    trust: Trust,
}

impl Websockify {
    pub const NAME: &'static str = "websockify";

    /// Starts it in front of the display server at `socket`; its files go into `folder`.
    pub fn start(folder: &Path, socket: &Path) -> anyhow::Result<Self> {
        let program = installed("websockify", "websockify")?;
        let Certificate { certificate, key, trust, .. } = Certificate::new(folder)?;
        let address = free_address()?;
        let mut command = Command::new(program);
        command.arg("--ssl-only").arg("--cert").arg(certificate).arg("--key").arg(key);
        command.arg(format!("--unix-target={}", socket.display())).arg(address.to_string());
        Served::start(command, folder, address, trust).map(Self)
    }
}

impl Haproxy {
    pub const NAME: &'static str = "HAProxy";

    /// Starts it in front of the display server at `socket`; its files go into `folder`.
    pub fn start(folder: &Path, socket: &Path) -> anyhow::Result<Self> {
        let program = installed("haproxy", "haproxy")?;
        let Certificate { both, trust, .. } = Certificate::new(folder)?;
        let address = free_address()?;
        let (both, socket) = (both.display(), socket.display());
        let configuration = folder.join("haproxy.cfg");
        let text = format!(
            "global\n  maxconn 1000\n\
             defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n\
             frontend viewers\n  bind {address} ssl crt {both}\n  default_backend display\n\
             backend display\n  server display unix@{socket}\n"
        );
        fs::write(&configuration, text)?;
        let mut command = Command::new(program);
        command.arg("-db").arg("-f").arg(configuration);
        Served::start(command, folder, address, trust).map(Self)
    }
}

impl Relay for Websockify {
    fn line(&self) -> anyhow::Result<Box<dyn Line>> {
        let tls = self.0.trust.connect(self.0.address, HOST)?;
        Ok(Box::new(WebSocket::open(tls, HOST, "/", None)?))
    }

    fn cpu(&self) -> Result<Duration, ProcError> {
        cpu_of_family(self.0.program.pid())
    }
}

impl Relay for Haproxy {
    fn line(&self) -> anyhow::Result<Box<dyn Line>> {
        Ok(Box::new(self.0.trust.connect(self.0.address, HOST)?))
    }

    fn cpu(&self) -> Result<Duration, ProcError> {
        cpu_of_family(self.0.program.pid())
    }
}

impl Served {
    fn start(
        mut command: Command,
        folder: &Path,
        address: SocketAddr,
        trust: Trust,
    ) -> anyhow::Result<Self> {
        let log = folder.join("relay.log");
        let mut program = Program::start(&mut command, &log)?;
        program
            .until(|| TcpStream::connect(address).ok())
            .with_context(|| format!("see {}", log.display()))?;
        Ok(Self { program, address, trust })
    }
}

impl Certificate {
    fn new(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).map(|()| path)
        };
        Ok(Self {
            trust: Trust::new(certificate.as_bytes())?,
            both: file("both.pem", &format!("{certificate}{key}"))?,
            certificate: file("certificate.pem", &certificate)?,
            key: file("key.pem", &key)?,
        })
    }
}
