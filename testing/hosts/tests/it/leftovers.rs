//! Nothing of the hosts stays, however a story ends.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use abide_hosts::{Hosts, package, tell};

/// Set for the owner that is killed.
const OWNER: &str = "ABIDE_TEST_OWNER";
const SOON: Duration = Duration::from_secs(30);

/// Not a promise: what the next test starts and kills.
#[test]
fn owner() {
    if std::env::var_os(OWNER).is_none() {
        return;
    }
    tell(owner, async {
        let _lab = Hosts::boot(["h1", "h2"])?;
        println!("\n{OWNER} ready");
        std::future::pending().await
    });
}

/// What carries the mark of this owner: folders, processes, mounts, loop devices, cgroups.
fn marked(owner: u32) -> Vec<String> {
    let prefix = format!("abide-lab-{owner}-");
    let entries = |folder: &str| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in [
        &*std::env::temp_dir().to_string_lossy(),
        "/sys/fs/cgroup",
        "/sys/fs/cgroup/systemd",
        "/sys/fs/cgroup/unified",
    ] {
        found.extend(entries(folder).map(|it| it.path()));
    }
    found.retain(|path| path.to_string_lossy().contains(&prefix));
    let carries = |path: &Path, file: &str| {
        let text = std::fs::read(path.join(file)).unwrap_or_default();
        String::from_utf8_lossy(&text).contains(&prefix)
    };
    let processes = entries("/proc").map(|it| it.path()).filter(|it| carries(it, "environ"));
    let loops = entries("/sys/block").map(|it| it.path());
    let loops = loops.filter(|it| carries(it, "loop/backing_file"));
    found.extend(processes.chain(loops));
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let mounts = mounts.lines().filter(|line| line.contains(&prefix)).map(str::to_owned);
    found.into_iter().map(|it| it.display().to_string()).chain(mounts).collect()
}

#[test]
fn hosts_whose_owner_was_killed_leave_nothing() {
    if let Err(why) = package() {
        eprintln!("SKIPPED: nothing was tested: {why}");
        return;
    }
    let mut owner = Command::new(std::env::current_exe().unwrap());
    owner.args(["leftovers::owner", "--exact", "--nocapture"]).env(OWNER, "yes");
    let mut owner = owner.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(owner.stdout.take().unwrap()).lines().map_while(Result::ok);
    let ready = said.any(|line| line.starts_with(OWNER));
    let before = marked(owner.id());
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(ready, "the owner failed before it was killed");
    let some = |part: &str| before.iter().filter(|it| it.starts_with(part)).count();
    assert!(some("/tmp/") == 1 && some("/sys/fs/cgroup") >= 1, "{before:?}");
    assert!(some("/proc/") >= 4 && some("/sys/block/") == 2, "{before:?}");
    let end = Instant::now() + SOON;
    while !marked(owner.id()).is_empty() {
        assert!(Instant::now() < end, "left: {:?}", marked(owner.id()));
        std::thread::sleep(Duration::from_millis(20));
    }
}
