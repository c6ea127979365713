//! X2Go's session broker, Debian's package, as fast as its configuration allows.
//!
//! It authenticates nobody, asks no desktop host, scans no port and logs nothing: what is left is the
//! brokering itself. It stands on plain HTTP, as Abide's broker does beside it.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::{free_address, installed};
use crate::program::Program;

/// A running x2gobroker.
pub struct X2goBroker {
    _program: Program,
    address: SocketAddr,
}

const BROKER: &str = "[global]
require-password = false
require-cookie = false
verify-ip = false
default-auth-mech = none
default-agent-query-mode = NONE
default-portscan-x2goservers = false
[broker_inifile]
enable = true
use-load-checker = false
";

const SILENCE: &str = "[loggers]
keys = root, broker, access, error
[handlers]
keys = none
[formatters]
keys =
[handler_none]
class = NullHandler
args = ()
[logger_root]
level = ERROR
handlers = none
[logger_broker]
level = ERROR
qualname = broker
handlers = none
propagate = 0
[logger_access]
level = ERROR
qualname = access
handlers = none
propagate = 0
[logger_error]
level = ERROR
qualname = error
handlers = none
propagate = 0
";

impl X2goBroker {
    pub const NAME: &'static str = "x2gobroker";
    /// What asks it for the session of one profile.
    pub const PATH: &'static str = "/plain/inifile";
    pub const BODY: &'static str = "user=alice&task=selectsession&sid=desk";
    pub const CONTENT: &'static str = "application/x-www-form-urlencoded";
    /// What a right answer holds.
    pub const ANSWER: &'static str = "SERVER:desk.invalid";

    /// Starts it; its files go into `folder`.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        Self::start_with(folder, &["desk.invalid"])
    }

    /// The same with these hosts.
    pub fn start_with(folder: &Path, hosts: &[impl AsRef<str>]) -> anyhow::Result<Self> {
        let hosts: Vec<_> = hosts.iter().map(AsRef::as_ref).collect();
        let profiles =
            format!("[desk]\nname = desk\nhost = {}\ncommand = XFCE\n", hosts.join(", "));
        let daemon = installed("x2gobroker-daemon", "x2gobroker-daemon")?;
        fs::create_dir_all(folder)?;
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).map(|()| path)
        };
        let address = free_address()?;
        // Debian's Python by its path: another one before it in PATH would not find the package.
        let mut command = Command::new("/usr/bin/python3");
        command
            .arg(daemon)
            .args(["--mode", "HTTP", "--bind", &address.to_string()])
            .env("X2GOBROKER_CONFIG", file("broker.conf", BROKER)?)
            .env("X2GOBROKER_SESSIONPROFILES", file("profiles.conf", &profiles)?)
            .env("X2GOBROKER_LOGCONFIG", file("log.conf", SILENCE)?)
            .env("X2GOBROKER_DEBUG", "0");
        // Under any other user than this one it turns its debugging on by itself.
        let user = Command::new("id").arg("-un").output().context("cannot run id")?;
        command.env("X2GOBROKER_DAEMON_USER", String::from_utf8(user.stdout)?.trim());
        let log = folder.join("x2gobroker.log");
        let mut program = Program::start(&mut command, &log)?;
        program
            .until(|| TcpStream::connect(address).ok())
            .with_context(|| format!("see {}", log.display()))?;
        Ok(Self { _program: program, address })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
