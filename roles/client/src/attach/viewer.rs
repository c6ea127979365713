//! TigerVNC's viewer: finding it, starting it on a private socket, and its going.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};

use super::AttachError;

/// Debian's name first: there, `vncviewer` may be another make's, which knows no Unix sockets.
const NAMES: [&str; 2] = ["xtigervncviewer", "vncviewer"];
/// A line that ends must end the viewer, without a question to the person.
const OPTIONS: [&str; 2] = ["-ReconnectOnError=0", "-AlertOnFatalError=0"];
/// A viewer whose connection is gone goes by itself.
const GONE_WITHIN: Duration = Duration::from_secs(3);

/// The program that shows desktops here, if there is one: TigerVNC's viewer, and a display for it.
pub fn find_viewer() -> Option<PathBuf> {
    let has = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !has("DISPLAY") && !has("WAYLAND_DISPLAY") {
        return None;
    }
    let path = std::env::var_os("PATH")?;
    NAMES.iter().find_map(|name| {
        std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|program| program.is_file() && is_tigervnc(program))
    })
}

/// Its usage text names its make.
fn is_tigervnc(program: &Path) -> bool {
    if program.file_name() == Some(OsStr::new(NAMES[0])) {
        return true;
    }
    let output = std::process::Command::new(program).arg("-h").stdin(Stdio::null()).output();
    output.is_ok_and(|output| {
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).contains("TigerVNC")
    })
}

/// The viewer and its private socket, in a folder that only its user can enter.
#[derive(Debug)]
pub struct Viewer {
    program: PathBuf,
    folder: TempDir,
    listener: UnixListener,
    running: Option<Child>,
}

impl Viewer {
    /// Prepares the socket; starts nothing yet.
    ///
    /// # Errors
    /// When the folder or the socket cannot be made.
    pub fn prepare(program: PathBuf) -> io::Result<Self> {
        let base = std::env::var_os("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|folder| folder.is_dir())
            .unwrap_or_else(std::env::temp_dir);
        // Made with mode 0700.
        let folder = tempfile::Builder::new().prefix("abide-").tempdir_in(base)?;
        let listener = UnixListener::bind(folder.path().join("desktop"))?;
        Ok(Self { program, folder, listener, running: None })
    }

    /// Starts a viewer and waits for it to connect.
    pub(super) async fn start(&mut self) -> Result<UnixStream, AttachError> {
        let log = self.folder.path().join("log");
        let stderr = File::create(&log).map_err(AttachError::Local)?;
        let child = Command::new(&self.program)
            .args(OPTIONS)
            .arg(self.folder.path().join("desktop"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .map_err(AttachError::Local)?;
        let child = self.running.insert(child);
        tokio::select! {
            biased;
            accepted = self.listener.accept() => {
                accepted.map(|(stream, _)| stream).map_err(AttachError::Local)
            }
            _ = child.wait() => Err(AttachError::Viewer {
                program: self.program.display().to_string(),
                said: last_line(&log),
            }),
        }
    }

    /// Waits for the viewer's end; its connection is gone.
    pub(super) async fn let_go(&mut self) {
        if let Some(mut child) = self.running.take() {
            // One that stays is killed by its drop.
            let _ = tokio::time::timeout(GONE_WITHIN, child.wait()).await;
        }
    }
}

fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.unwrap_or("it said nothing").to_owned()
}
