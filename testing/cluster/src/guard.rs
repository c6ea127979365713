//! Cleaning up when the owner cannot, because it was killed: a shell that waits for the end of its
//! standard input, which only the owner holds open.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Ends, in this order: the servers (their argument list has a configuration file below the
/// folder), the keepers (SIGTERM: they end their desktops), what is left of the sessions (their
/// mark). Then removes the folder.
const SCRIPT: &str = r#"
read -r word; [ "$word" = done ] && exit 0
pids() { for p in /proc/[0-9]*; do grep -zqs -- "$1" "$p/$2" && echo "${p#/proc/}"; done; }
kill -9 $(pids "^$DIR/.*\.toml$" cmdline) 2>/dev/null
for s in "$DIR"/agent*/run/*-*; do
  m="^ABIDE_SESSION=${s##*/}$"
  for p in $(pids "^$s" cmdline); do kill -TERM "$p" 2>/dev/null; done
  kill -TERM $(pids "$m" environ) 2>/dev/null
done
n=0
while [ "$n" -lt 50 ] && [ -n "$(ls -d "$DIR"/agent*/run/*-* 2>/dev/null)" ]; do sleep 0.1; n=$((n+1)); done
for s in "$DIR"/agent*/run/*-*; do kill -9 $(pids "^ABIDE_SESSION=${s##*/}$" environ) 2>/dev/null; done
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
