//! What systemd-nspawn tells about the host that it runs (sd_notify(3)).

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

/// How often it is looked whether systemd-nspawn still runs.
const GLANCE: Duration = Duration::from_millis(200);

/// Its socket. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Notify {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Notify {
    pub fn bind(path: &Path) -> anyhow::Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        Ok(Self { socket, path: path.to_owned() })
    }

    /// Waits until the host that `nspawn` runs has booted; gives the process id of its init, as the lab
    /// sees it.
    pub fn wait(&self, nspawn: &mut Child, within: Duration) -> anyhow::Result<i32> {
        let (end, mut init, mut said) = (Instant::now() + within, None, vec![0; 4096]);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "the host has not booted within {within:?}");
            let ended = nspawn.try_wait()?;
            ensure!(ended.is_none(), "systemd-nspawn ended: {ended:?}");
            self.socket.set_read_timeout(Some(left.min(GLANCE)))?;
            let Ok(length) = self.socket.recv(&mut said) else { continue };
            let text = String::from_utf8_lossy(&said[..length]);
            let pid = text.lines().find_map(|line| line.strip_prefix("X_NSPAWN_LEADER_PID="));
            if let Some(pid) = pid {
                init = Some(pid.parse()?);
            }
            if text.lines().any(|line| line == "READY=1") {
                return init.context("systemd-nspawn did not name the host's init");
            }
        }
    }
}

impl Drop for Notify {
    fn drop(&mut self) {
        // The room that it lies in goes too.
        let _ = std::fs::remove_file(&self.path);
    }
}
