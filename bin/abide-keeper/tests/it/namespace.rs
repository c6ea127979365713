//! Accounts and PAM services of the tests' own.
//!
//! The calling thread gets a mount namespace in which `/etc/passwd`, `/etc/shadow`, `/etc/group`
//! and `/etc/pam.d` are others. The processes that it starts see the same; nobody else does, and
//! the kernel takes all away with the last of them.

use std::fs;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// SHA-512 crypt of [`PASSWORD`].
const HASH: &str = "$6$abidetest$g/DOHSWuD48zHiiBjSVEPnab0YU4D4dwFvHaD3hGSG4jNGbOBLOVHzAoddXiTP5XLL7ynkaVZ1UFHdVCTFx6V/";

pub const PASSWORD: &str = "correct horse";
pub const ALICE: u32 = 54321;
pub const AGENT: u32 = 54330;

/// Builds it under `dir`, with these PAM services: name and content.
pub fn enter(dir: &Path, services: &[(&str, String)]) {
    let etc = dir.join("etc");
    fs::create_dir_all(etc.join("pam.d")).unwrap();
    let home = dir.join("alice");
    fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(ALICE), Some(ALICE)).unwrap();

    let home = home.display();
    let person = |name: &str, uid: u32| format!("{name}:x:{uid}:{uid}::{home}:/bin/sh\n");
    let mut passwd = "root:x:0:0:root:/root:/bin/sh\nsystem:x:200:200::/:/bin/sh\n".to_owned();
    passwd += &person("alice", ALICE);
    passwd += &person("expired", 54322);
    passwd += &person("stale", 54323);
    passwd += &format!("agent:x:{AGENT}:{AGENT}::/:/usr/sbin/nologin\n");
    fs::write(etc.join("passwd"), passwd).unwrap();

    let shadow = format!(
        "root:*:19000:0:99999:7:::\nsystem:{HASH}:19000:0:99999:7:::\n\
         alice:{HASH}:19000:0:99999:7:::\nexpired:{HASH}:19000:0:99999:7::1:\n\
         stale:{HASH}:0:0:99999:7:::\nagent:*:19000:0:99999:7:::\n"
    );
    fs::write(etc.join("shadow"), shadow).unwrap();
    let group =
        format!("root:x:0:\nalice:x:{ALICE}:\nagent:x:{AGENT}:\nstaff-of-abide:x:54340:alice\n");
    fs::write(etc.join("group"), group).unwrap();
    for (name, content) in services {
        fs::write(etc.join("pam.d").join(name), content).unwrap();
    }
    fs::write(etc.join("pam.d/other"), "auth required pam_deny.so\n").unwrap();

    unshare(CloneFlags::CLONE_NEWNS).expect("these tests need root");
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    for name in ["passwd", "shadow", "group", "pam.d"] {
        let over = Path::new("/etc").join(name);
        mount(Some(&etc.join(name)), &over, none, MsFlags::MS_BIND, none).unwrap();
    }
}
