//! What must be on the machine, and installing it where Debian's packages can.

use std::process::Command;

use anyhow::bail;

use crate::shell;

/// For building.
const BUILD: &[&str] = &["gcc", "libc6-dev", "libpam0g-dev"];
/// For the demo's desktop.
const DESKTOP: &[&str] =
    &["dbus-x11", "tigervnc-standalone-server", "x11-apps", "xauth", "xfce4", "xfce4-terminal"];
/// For the tests, besides.
const TEST: &[&str] = &[
    "chromium",
    "git",
    "iproute2",
    "iputils-ping",
    "libfaketime",
    "libnss3-tools",
    "nodejs",
    "npm",
    "python3-venv",
    "strace",
    "tigervnc-viewer",
];

/// What the bench measures beside Abide.
const REFERENCES: &[&str] = &["haproxy", "websockify", "x2gobroker-daemon"];

/// What hosts as namespaces are made with, and what they are compared with.
const LAB: &[&str] = &["iproute2", "iputils-ping", "keepalived", "nftables"];

/// What reads programs' dependencies, and takes what debuggers want out of them.
const DIST: &[&str] = &["binutils", "dpkg-dev"];
/// What whole Debian hosts are made with.
const HOSTS: &[&str] = &["debootstrap", "e2fsprogs", "systemd-container"];

/// What is to be done afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Demo,
    Test,
    Lab,
    Bench,
    Dist,
}

/// Installs what is missing, and says what.
pub fn ensure(purpose: Purpose) -> anyhow::Result<()> {
    let wanted = match purpose {
        Purpose::Demo => [BUILD, DESKTOP].concat(),
        Purpose::Test => [BUILD, DESKTOP, TEST, LAB].concat(),
        Purpose::Lab => [BUILD, DESKTOP, LAB, HOSTS, DIST].concat(),
        Purpose::Bench => [BUILD, DESKTOP, REFERENCES].concat(),
        Purpose::Dist => [BUILD, DIST].concat(),
    };
    if !shell::exists("dpkg-query") || !shell::exists("apt-get") {
        return only_check(purpose);
    }
    let missing: Vec<&str> = wanted.into_iter().filter(|name| !provided(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    let root = rustix::process::geteuid().is_root();
    if !root && !shell::exists("sudo") {
        bail!(
            "these Debian packages are missing: {list}\nInstall them as root: apt-get install \
             --no-install-recommends {list}"
        );
    }
    let how = if root { "" } else { " with sudo" };
    eprintln!("Installing{how}: {list}");
    let install = [&["install", "--yes", "--no-install-recommends"][..], &missing].concat();
    if !root {
        // The password is asked for before anything hides the question.
        shell::run(Command::new("sudo").arg("--validate"))?;
    }
    read_lists()?;
    shell::step("Installing packages", || shell::run_quietly(&mut apt(&install)))?;
    Ok(())
}

/// Has apt learn what there is.
pub fn read_lists() -> anyhow::Result<()> {
    shell::step("Reading the package lists", || shell::run_quietly(&mut apt(&["update"])))?;
    Ok(())
}

/// As root, or with sudo.
fn apt(arguments: &[&str]) -> Command {
    let root = rustix::process::geteuid().is_root();
    let mut command = Command::new(if root { "apt-get" } else { "sudo" });
    if !root {
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    }
    command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments).arg("--quiet");
    command
}

/// Whether the package is installed; or, for what people also get from elsewhere, its program is
/// there.
fn provided(package: &str) -> bool {
    let elsewhere = match package {
        "nodejs" => shell::exists("node"),
        "gcc" | "npm" | "git" | "chromium" => shell::exists(package),
        _ => false,
    };
    elsewhere || is_installed(package)
}

fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${db:Status-Status}", package]);
    query.output().is_ok_and(|output| output.stdout == b"installed")
}

/// Not Debian: what is missing is named, by its programs.
fn only_check(purpose: Purpose) -> anyhow::Result<()> {
    let mut programs = vec!["cc"];
    if purpose != Purpose::Dist {
        programs.extend(["Xvnc", "startxfce4", "xfce4-terminal", "xauth", "xclock"]);
        programs.push("dbus-run-session");
    }
    match purpose {
        Purpose::Demo => {}
        Purpose::Dist => programs.extend(["dpkg-shlibdeps", "strip"]),
        Purpose::Test => {
            programs.extend(["chromium", "certutil", "node", "npm", "python3", "vncviewer", "git"]);
            programs.push("strace");
            programs.extend(["ip", "keepalived", "nft", "ping", "setpriv", "unshare"]);
        }
        Purpose::Lab => {
            programs.extend(["ip", "keepalived", "nft", "ping", "setpriv", "unshare"]);
            programs.extend(["debootstrap", "mkfs.ext4", "nsenter", "systemd-nspawn"]);
        }
        Purpose::Bench => programs.extend(REFERENCES),
    }
    let missing: Vec<&str> = programs.into_iter().filter(|name| !shell::exists(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("these programs are missing, and there is no apt-get here to install them: {missing:?}")
}
