//! The command line of a person.

use std::process::Stdio;

use abide_cluster::Binaries;
use abide_e2e::wait::SOON;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::support::{Person, World};

/// The command line of a person with a home folder.
pub struct CommandLine {
    pub home: TempDir,
}

impl CommandLine {
    /// Logs in.
    pub async fn of(world: &World, person: &Person) -> Self {
        let line = Self { home: tempfile::tempdir().unwrap() };
        let broker = world.url("");
        let mut login =
            line.abide(&["login", "--broker", &broker, "--username", &person.user.name]);
        login.arg("--answers-stdin").stdin(Stdio::piped());
        let mut login = login.spawn().unwrap();
        let mut input = login.stdin.take().unwrap();
        input.write_all(format!("{}\n", person.user.password).as_bytes()).await.unwrap();
        drop(input);
        assert!(timeout(SOON, login.wait()).await.unwrap().unwrap().success());
        line
    }

    /// What a command answers in JSON.
    pub async fn json(&self, arguments: &[&str]) -> Value {
        let output = timeout(SOON, self.abide(arguments).output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The program, ended with its value.
    pub fn abide(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(Binaries::beside_this_program().unwrap().abide);
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        // What it leaves when it is killed goes with the home folder.
        command.env("HOME", self.home.path()).env("TMPDIR", self.home.path());
        for name in
            ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "WAYLAND_DISPLAY", "DISPLAY"]
        {
            command.env_remove(name);
        }
        command
    }
}

/// What it writes to standard output.
pub fn lines(child: &mut Child) -> Lines<BufReader<ChildStdout>> {
    BufReader::new(child.stdout.take().unwrap()).lines()
}
