//! Stand-ins for what the scripts call. Each call is written down.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Long enough for a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// A broker that is started, stopped, activated, released; or that answers as it is told.
const ABIDE: &str = r#"
echo "abide $2${*#*broker.toml}" >>"$STAGE/calls"
answers=$STAGE/$2
if [ -e "$answers" ]; then
    answer=$(head -n 1 "$answers")
    [ "$(wc -l <"$answers")" -gt 1 ] && sed -i 1d "$answers"
    echo "${answer#* }"
    exit "${answer%% *}"
fi
if [ ! -e "$STAGE/runs" ]; then
    [ "$2" = release ] && rm -f "$STAGE/active"
    echo "down: no broker answers here"
    exit 14
fi
case $2 in
activate) touch "$STAGE/active"; echo "serves" ;;
release) rm -f "$STAGE/active"; echo "released" ;;
status)
    if [ -e "$STAGE/active" ]; then
        echo "leader active generation 1, peer answers"
    else
        echo "follower passive generation 1, peer answers"
        exit 10
    fi
    ;;
esac
"#;

const SYSTEMCTL: &str = r#"
case $1 in
start) touch "$STAGE/runs" ;;
stop) rm -f "$STAGE/runs" ;;
is-active) if [ -e "$STAGE/runs" ]; then echo active; else echo inactive; exit 3; fi; exit ;;
esac
echo "systemctl $*" >>"$STAGE/calls"
"#;

/// Each look at the clock is ten seconds later.
const DATE: &str = r#"
now=$(($(cat "$STAGE/now" 2>/dev/null || echo 0) + 10))
echo "$now" | tee "$STAGE/now"
"#;

/// As far as the agent uses what comes with resource-agents.
const OCF: &str = r#"
OCF_SUCCESS=0 OCF_ERR_GENERIC=1 OCF_ERR_ARGS=2 OCF_ERR_UNIMPLEMENTED=3 OCF_ERR_INSTALLED=5
OCF_ERR_CONFIGURED=6 OCF_NOT_RUNNING=7 OCF_RUNNING_MASTER=8 OCF_FAILED_MASTER=9
__OCF_ACTION=$1
ocf_log() { echo "log $*" >>"$STAGE/said"; }
ocf_exit_reason() { echo "reason $*" >>"$STAGE/said"; }
ocf_promotion_score() { echo "score $*" >>"$STAGE/calls"; }
ocf_is_probe() { [ "$__OCF_ACTION" = monitor ] && [ "$OCF_RESKEY_CRM_meta_interval" = 0 ]; }
have_binary() { command -v "$1" >/dev/null; }
"#;

/// A folder with the stand-ins; gone when it is dropped.
pub(super) struct Stage(TempDir);

/// What a script came to.
#[derive(Debug)]
pub(super) struct Came {
    pub(super) code: i32,
    pub(super) said: String,
    /// What it called, since the last script.
    pub(super) calls: Vec<String>,
}

impl Stage {
    /// No broker runs.
    pub(super) fn new() -> Self {
        let stage = Self(tempfile::tempdir().unwrap());
        for folder in ["bin", "ocf"] {
            fs::create_dir(stage.path(folder)).unwrap();
        }
        for (name, text) in [
            ("abide", ABIDE),
            ("systemctl", SYSTEMCTL),
            ("date", DATE),
            ("sleep", ""),
            ("logger", "echo \"$*\" >>\"$STAGE/said\""),
            ("crm_node", "echo host1"),
            ("crm_mon", "cat \"$STAGE/seen\""),
        ] {
            let path = stage.path("bin").join(name);
            fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        fs::write(stage.path("ocf/ocf-shellfuncs"), OCF).unwrap();
        stage.put("broker.toml", "[pair]\n");
        stage
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn put(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// A broker runs, activated or not.
    pub(super) fn runs(&self, active: bool) {
        self.put("runs", "");
        if active {
            self.put("active", "");
        }
    }

    /// What `abide ha` answers to this from now on, one after the other; the last stays.
    pub(super) fn answers(&self, verb: &str, answers: &[&str]) {
        self.put(verb, &(answers.join("\n") + "\n"));
    }

    /// The script, to be run here.
    pub(super) fn command(&self, script: &Path, arguments: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new(script);
        command
            .args(arguments)
            .env("STAGE", self.0.path())
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("ABIDE_CONFIG", self.path("broker.toml"))
            .env("ABIDE_STATES", self.path("states"))
            .env("OCF_FUNCTIONS_DIR", self.path("ocf"))
            .env("OCF_RESKEY_config", self.path("broker.toml"))
            .env("OCF_RESOURCE_INSTANCE", "abide")
            .env("OCF_RESKEY_CRM_meta_interval", "5000");
        command
    }

    pub(super) fn came(&self, output: &Output) -> Came {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        let _ = fs::remove_file(self.path("calls"));
        Came {
            code: output.status.code().unwrap(),
            said: String::from_utf8(output.stdout.clone()).unwrap(),
            calls: calls.lines().map(|line| line.trim().to_owned()).collect(),
        }
    }

    pub(super) fn run(&self, script: &Path, arguments: &[&str]) -> Came {
        self.came(&self.command(script, arguments).output().unwrap())
    }
}

/// A script that still runs; killed when it is dropped.
pub(super) struct Running(Child);

impl Running {
    pub(super) fn begin(mut command: Command) -> Self {
        Self(command.stderr(Stdio::null()).spawn().unwrap())
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Its exit code, once it has ended.
    pub(super) fn end(mut self) -> i32 {
        let deadline = Instant::now() + DEADLINE;
        while !self.has_ended() {
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::yield_now();
        }
        self.0.wait().unwrap().code().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
