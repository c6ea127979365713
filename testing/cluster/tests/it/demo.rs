//! The demo, as the person at the terminal and a program beside it see it.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use abide_cluster::{Binaries, until};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(60);

/// A demo, and what it says, line by line.
struct Demo {
    child: Child,
    said: Receiver<String>,
    dir: PathBuf,
    _around: TempDir,
}

impl Demo {
    fn start(port: u16) -> Self {
        let around = tempfile::Builder::new().prefix("d-").tempdir().unwrap();
        let dir = around.path().join("demo");
        let mut command = Command::new(env!("CARGO_BIN_EXE_abide-demo"));
        command.args(["--brokers", "3", "--agents", "1", "--no-open"]);
        command.args(["--base-port", &port.to_string()]).arg("--dir").arg(&dir);
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (tell, said) = channel();
        let streams: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let tell = tell.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _ = tell.send(line);
                }
            });
        }
        Self { child, said, dir, _around: around }
    }

    /// The next line that has this in it.
    fn says(&self, part: &str) -> String {
        let end = Instant::now() + DEADLINE;
        let mut before = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.said.recv_timeout(left) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => before.push(line),
                Err(_) => panic!("it did not say {part:?}, but {before:#?}"),
            }
        }
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.dir.join("demo.json")).unwrap()).unwrap()
    }

    /// As Ctrl-C at its terminal does: the whole foreground group hears it.
    fn interrupt(&mut self) {
        kill_process_group(Pid::from_child(&self.child), Signal::INT).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Its guard cleans up after it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pid_of(server: &Value) -> Pid {
    Pid::from_raw(i32::try_from(server["pid"].as_u64().unwrap()).unwrap()).unwrap()
}

fn lives(pid: Pid) -> bool {
    // A zombie has no program any more.
    Path::new(&format!("/proc/{}/exe", pid.as_raw_pid())).read_link().is_ok()
}

fn all(demo: &Value) -> Vec<Value> {
    let servers = ["brokers", "agents"].map(|kind| demo[kind].as_array().unwrap().clone());
    servers.concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tells_who_died_who_leads_and_who_is_back_and_leaves_nothing() {
    let mut demo = Demo::start(18_611);
    demo.says("Starting 3 brokers and 1 agent");
    for step in ["broker1 has made the cluster", "broker3 has joined", "agent1 has joined"] {
        demo.says(step);
    }
    // From two streams, so in no certain order.
    let leads = demo.says("  leads");
    assert!(leads.contains("broker1"), "{leads}");
    let before = demo.json();
    let user = &before["users"][0];
    assert!(user["name"] == "ada" && user["password"].is_string());
    assert_eq!((before["brokers"].as_array().unwrap().len(), all(&before).len()), (3, 4));
    assert!(all(&before).iter().map(pid_of).all(lives));

    kill_process(pid_of(&before["brokers"][0]), Signal::KILL).unwrap();
    let gone = demo.says("broker1 is gone. Start it again: ");
    demo.says(" leads now.");
    let start: Vec<_> = gone.rsplit(": ").next().unwrap().split(' ').collect();
    assert_eq!(Path::new(start[0]), Binaries::beside_this_program().unwrap().abide);
    let mut by_hand = Command::new(start[0]);
    by_hand.args(&start[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut by_hand = by_hand.spawn().unwrap();
    demo.says(&format!("broker1 is back, as process {}.", by_hand.id()));
    until("demo.json names the new process", DEADLINE, async || {
        (demo.json()["brokers"][0]["pid"] == by_hand.id()).then_some(())
    })
    .await
    .unwrap();

    let after = demo.json();
    demo.interrupt();
    by_hand.wait().unwrap();
    assert!(!all(&after).iter().map(pid_of).any(lives), "{after}");
    assert!(!demo.dir.exists());
}

#[test]
fn ctrl_c_while_the_demo_starts_leaves_nothing() {
    let mut demo = Demo::start(18_621);
    demo.says("broker1 has made the cluster");
    demo.interrupt();
    assert!(!demo.dir.exists());
    let below = demo.dir.to_str().unwrap().to_owned() + "/";
    let left: Vec<_> = std::fs::read_dir("/proc").unwrap().flatten().collect();
    let left = left.iter().filter_map(|it| std::fs::read_to_string(it.path().join("cmdline")).ok());
    let left: Vec<_> = left.filter(|line| line.contains(&below)).collect();
    assert_eq!(left, [""; 0]);
}
