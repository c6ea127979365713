//! `Xvnc` by itself, with the flags that a session's own was started with.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::program::Program;

/// How long one start took.
#[derive(Debug, Clone, Copy)]
pub struct Started {
    /// Until the RFB socket accepted a connection, which is a good while before it serves one.
    pub listens: Duration,
    /// Until the first bytes of RFB.
    pub serves: Duration,
}

/// How to start it.
pub struct BareXvnc {
    program: PathBuf,
    flags: Vec<String>,
    socket: PathBuf,
    log: PathBuf,
}

impl BareXvnc {
    pub const NAME: &'static str = "bare Xvnc";
    pub const LISTENS: &'static str = "bare Xvnc, until it listens";

    /// Takes the command line of a living session's display server. `session` is its folder, whose
    /// files are copied to `folder`, which stands in for it.
    pub fn like(pid: u32, session: &Path, folder: &Path) -> anyhow::Result<Self> {
        let line = fs::read(format!("/proc/{pid}/cmdline"))?;
        let line = String::from_utf8(line)?;
        fs::create_dir_all(folder)?;
        let mut flags = Vec::new();
        let mut words = line.split_terminator('\0').skip(1);
        while let Some(word) = words.next() {
            match word {
                // A pipe of its keeper's, which does not go over; and a number that may be taken.
                "-displayfd" => {
                    words.next();
                }
                word => flags.push(moved(word, session, folder)?),
            }
        }
        flags.extend(["-displayfd".to_owned(), "1".to_owned()]);
        let at = flags.iter().position(|it| it == "-rfbunixpath");
        let socket = at.and_then(|at| flags.get(at + 1)).context("it has no RFB socket")?;
        let socket = PathBuf::from(socket);
        ensure!(socket.starts_with(folder), "its RFB socket is not in the session's folder");
        Ok(Self {
            program: fs::read_link(format!("/proc/{pid}/exe"))?,
            flags,
            socket,
            log: folder.join("xvnc.log"),
        })
    }

    /// Starts it and ends it.
    pub fn start(&self) -> anyhow::Result<Started> {
        let began = Instant::now();
        let mut command = Command::new(&self.program);
        let mut program = Program::start(command.args(&self.flags), &self.log)?;
        let mut viewer = program
            .until(|| UnixStream::connect(&self.socket).ok())
            .with_context(|| format!("see {}", self.log.display()))?;
        let listens = began.elapsed();
        viewer.read_exact(&mut [0; 12])?;
        Ok(Started { listens, serves: began.elapsed() })
    }
}

/// The word, with what it names in the session's folder copied to the other, unless it is a socket.
fn moved(word: &str, session: &Path, folder: &Path) -> anyhow::Result<String> {
    let Ok(inside) = Path::new(word).strip_prefix(session) else {
        return Ok(word.to_owned());
    };
    let to = folder.join(inside);
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    if fs::metadata(word).is_ok_and(|it| it.is_file()) {
        fs::copy(word, &to).with_context(|| format!("cannot copy {word}"))?;
    }
    to.into_os_string().into_string().ok().context("the folder's name is not UTF-8")
}
