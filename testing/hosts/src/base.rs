//! The folder that every host begins as: made once from Debian's packages, then kept.
//!
//! INVARIANT: a folder by its final name is complete, and nobody writes to it any more.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use rustix::fs::{FlockOperation, flock};

/// Where bases are kept between runs.
const KEPT: &str = "/var/cache/abide-hosts";
const RECIPE: &str = include_str!("base.sh");
const PACKAGES: &[&str] = &[
    // A host as administrators have it.
    "adduser",
    "ca-certificates",
    "dbus",
    "iproute2",
    "iputils-ping",
    "libpam-systemd",
    "locales",
    "procps",
    "sudo",
    "systemd-sysv",
    // What desktops need, and one that moves.
    "dbus-x11",
    "tigervnc-standalone-server",
    "x11-apps",
    "x11-common",
    "xauth",
    // A second question at the login.
    "libpam-google-authenticator",
    // The cluster managers of sites with two servers.
    "corosync",
    "crmsh",
    "heartbeat",
    "keepalived",
    "pacemaker",
    "pcs",
    "resource-agents",
];

/// A base that is there. It is not removed while this lives.
#[derive(Debug)]
pub struct Base {
    folder: PathBuf,
    _used: File,
}

impl Base {
    /// The one that this recipe gives; `None` while it was not made.
    pub fn find() -> Option<Self> {
        let folder = folder();
        let used = File::open(&folder).ok()?;
        flock(used.as_fd(), FlockOperation::LockShared).ok()?;
        // Removed in the meantime, the lock is on nothing.
        folder.is_dir().then_some(Self { folder, _used: used })
    }

    /// Its folder, read by all hosts.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Makes it if it is missing; whether it was.
///
/// # Errors
/// When one of the tools fails, or Debian's packages cannot be had.
pub fn ensure() -> anyhow::Result<bool> {
    std::fs::create_dir_all(KEPT).with_context(|| format!("cannot make {KEPT}"))?;
    let lock = File::create(Path::new(KEPT).join("lock"))?;
    flock(lock.as_fd(), FlockOperation::LockExclusive)?;
    if Base::find().is_some() {
        return Ok(false);
    }
    remove_others()?;
    let (whole, part) = (folder(), folder().with_extension("part"));
    let log = whole.with_extension("log");
    let said = File::create(&log)?;
    let mut make = Command::new("setpriv");
    make.args(["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "--pid"]);
    make.args(["--fork", "--kill-child=KILL", "--mount-proc", "--", "/bin/sh", "-c", RECIPE]);
    make.arg("base").arg(&part).args(PACKAGES);
    make.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
    let status = make.status().context("cannot run setpriv")?;
    ensure!(status.success(), "the base of the hosts was not made ({status}):\n{}", end_of(&log));
    std::fs::rename(&part, &whole)?;
    Ok(true)
}

fn folder() -> PathBuf {
    let recipe = crc32fast::hash(format!("{RECIPE}{PACKAGES:?}").as_bytes());
    Path::new(KEPT).join(format!("debian12-{recipe:08x}"))
}

/// Those of other recipes, and what was left half made; but none that a story is using.
fn remove_others() -> anyhow::Result<()> {
    for entry in std::fs::read_dir(KEPT)?.flatten() {
        let is_base = entry.file_type()?.is_dir();
        let used = File::open(entry.path())?;
        if is_base && flock(used.as_fd(), FlockOperation::NonBlockingLockExclusive).is_ok() {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn end_of(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}
