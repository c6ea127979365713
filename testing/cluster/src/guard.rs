//! Cleaning up when the owner cannot, because it was killed: a shell that waits for the end of its
//! standard input, which only the owner holds open.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Ends, in this order: the servers (their argument list has a configuration file below the
/// folder); the sessions' processes by their mark, first with SIGTERM, so that display servers
/// remove their sockets, and with them their keepers. Then removes the folder.
const SCRIPT: &str = r#"
read -r word; [ "$word" = done ] && exit 0
pids() { for p in /proc/[0-9]*; do grep -zqs -- "$1" "$p/$2" && echo "${p#/proc/}"; done; }
sessions() { for s in "$DIR"/agent*/run/*-*; do [ -d "$s" ] && echo "${s##*/}"; done; }
marked() { for s in $(sessions); do pids "^ABIDE_SESSION=$s$" environ; done; }
kill -9 $(pids "^$DIR/.*\.toml$" cmdline) 2>/dev/null
kill -TERM $(marked) 2>/dev/null
n=0; while [ "$n" -lt 50 ] && [ -n "$(marked)" ]; do sleep 0.1; n=$((n+1)); done
kill -9 $(marked) 2>/dev/null
rm -rf -- "$DIR"
"#;

/// The guard. Dropped, it goes without doing anything.
#[derive(Debug)]
pub(crate) struct Guard(Child);

impl Guard {
    pub(crate) fn over(dir: &Path) -> std::io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT]).env("DIR", dir).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map(Self)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        use std::io::Write;
        if let Some(mut stdin) = self.0.stdin.take() {
            // If it cannot be told, it is gone.
            let _ = stdin.write_all(b"done\n");
        }
        let _ = self.0.wait();
    }
}
