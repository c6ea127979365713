//! The cluster managers' scripts, against stand-ins for everything that they call. What real managers make
//! of them is the lab's to show.

mod heartbeat;
mod keepalived;
mod pacemaker;
mod stage;

use std::path::PathBuf;
use std::process::Command;

use crate::shell;

const SCRIPTS: [&str; 4] =
    ["heartbeat/abide", "pacemaker/abide", "keepalived/notify", "keepalived/track"];

fn script(name: &str) -> PathBuf {
    shell::root().join("packaging").join(name)
}

#[test]
fn the_scripts_are_sound_posix_shell() {
    use std::os::unix::fs::PermissionsExt;
    for name in SCRIPTS {
        let path = script(name);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("#!/bin/sh\n"), "{name}");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755, "{name}");
        assert!(Command::new("sh").arg("-n").arg(&path).status().unwrap().success(), "{name}");
        match Command::new("shellcheck").args(["--shell", "sh"]).arg(&path).output() {
            Ok(said) => {
                assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
            }
            Err(_) => println!("not checked: there is no shellcheck here"),
        }
    }
}
