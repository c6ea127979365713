//! Nothing of a world stays, however it ends.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use abide_lab::cluster::{Lab, Plan};
use abide_lab::world;

/// Set for the owner that is killed.
const OWNER: &str = "ABIDE_TEST_OWNER";
const SOON: Duration = Duration::from_secs(30);

/// Not a promise: what the next test starts and kills.
#[test]
fn owner() {
    if std::env::var_os(OWNER).is_none() {
        return;
    }
    world::test(owner, async {
        let _lab = Lab::start(Plan { brokers: 1, agents: 1, is_far: false }).await?;
        println!("\n{OWNER} ready");
        std::future::pending().await
    });
}

/// What outside carries the mark of this owner.
fn marked(owner: u32) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let prefix = format!("abide-lab-{owner}-");
    let rooms = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten().map(|it| it.path());
    let ours = |path: &PathBuf| path.to_string_lossy().contains(&prefix);
    let rooms = rooms.filter(ours).collect();
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|it| it.path());
    let carries = |path: &PathBuf| {
        let environment = std::fs::read(path.join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&prefix)
    };
    (rooms, processes.filter(carries).collect())
}

#[test]
fn a_world_whose_owner_was_killed_leaves_no_process_and_no_file() {
    if let Some(obstacle) = world::obstacle() {
        eprintln!("SKIPPED: nothing was tested, because {obstacle}");
        return;
    }
    let mut owner = Command::new(std::env::current_exe().unwrap());
    owner.args(["leftovers::owner", "--exact", "--nocapture"]).env(OWNER, "yes");
    let mut owner = owner.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(owner.stdout.take().unwrap()).lines().map_while(Result::ok);
    let ready = said.any(|line| line.starts_with(OWNER));
    let (rooms, processes) = marked(owner.id());
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(ready, "the owner failed before it was killed");
    assert_eq!(rooms.len(), 1);
    // The broker, the agent, what stands around them.
    assert!(processes.len() >= 4, "{processes:?}");
    let end = Instant::now() + SOON;
    while marked(owner.id()) != (Vec::new(), Vec::new()) {
        assert!(Instant::now() < end, "left: {:?}", marked(owner.id()));
        std::thread::sleep(Duration::from_millis(20));
    }
}
