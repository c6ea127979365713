//! A world of its own for one test or one measurement: own process ids, own mounts, own network.
//!
//! ```text
//! owner ── setpriv, unshare ── sh (process 1 of the world) ── the same program again, inside
//!   └──── guard (sh, outside): removes the folder and the cgroups when the world is gone
//! ```
//!
//! INVARIANT: whatever runs inside ends with process 1, and that one ends with its owner, also when
//! the owner is killed. Network namespaces, devices and mounts inside have no name outside, so that
//! the kernel removes them with the last process.

use std::future::Future;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, ensure};
use tempfile::TempDir;

/// Set inside.
const INSIDE: &str = "ABIDE_LAB_INSIDE";
const OUTCOME: &str = "outcome";
/// In a room where a test ran to its end.
const RAN: &str = "ran";
/// Where a world's folder is, inside.
pub const ROOM: &str = "/mnt";
/// The programs under test, inside.
pub const PROGRAMS: &str = "/mnt/bin";

/// Process 1: it makes the mounts, and waits for orphans as the first process must.
const FIRST: &str = r#"
mount --bind "$LAB_ROOM" /mnt &&
mount --bind "$LAB_BIN" /mnt/bin &&
mount --bind /mnt/tmp /tmp &&
mount -t tmpfs tmpfs /run || exit 90
"$@"; exit $?
"#;

/// Waits for the end of its standard input, which the owner alone holds open.
const GUARD: &str = r#"
groups() { find /sys/fs/cgroup -depth -path "*/${LAB_ROOM##*/}*" -type d; }
read -r word
n=0; while [ "$n" -lt 100 ]; do
[ "$word" = done ] || rm -rf -- "$LAB_ROOM" 2>/dev/null
groups | while read -r group; do rmdir -- "$group" 2>/dev/null; done
[ -z "$(groups)" ] && { [ "$word" = done ] || [ ! -e "$LAB_ROOM" ]; } && exit 0
n=$((n+1)); sleep 0.1; done
"#;

/// Whether this process runs inside a world.
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Why no world can be made here; `None` where one can.
pub fn obstacle() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("namespaces and their networks need root");
    }
    let tools = ["ip", "nft", "unshare", "setpriv", "Xvnc"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |tool: &str| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    let complete = tools.into_iter().all(there);
    (!complete).then_some("one of these programs is missing: ip nft unshare setpriv Xvnc")
}

/// Runs `body` of the test function `test` inside a world: the test program starts itself again
/// there, with this one test. Where no world can be made it says so and does nothing.
///
/// # Panics
/// When the test fails.
pub fn test<T: Copy, F: Future<Output = anyhow::Result<()>>>(test: T, body: F) {
    if is_inside() {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
        if let Err(error) = runtime.block_on(body) {
            panic!("{error:?}");
        }
        std::fs::write(Path::new(ROOM).join(RAN), "").expect("the room can be written to");
        return;
    }
    if let Some(obstacle) = obstacle() {
        eprintln!("SKIPPED: nothing was tested, because {obstacle}");
        return;
    }
    // `crate::module::name`; test programs know it without the crate.
    let path = std::any::type_name_of_val(&test);
    let name = path.split_once("::").map_or(path, |(_, name)| name);
    let room = room().expect("a world has a room");
    let status = enter_room(&room, &[name, "--exact", "--nocapture", "--test-threads=1"]);
    let status = status.expect("a world can be made");
    assert!(status.success(), "inside its world the test failed: {status}");
    assert!(room.path().join(RAN).exists(), "inside its world there is no test {name}");
}

/// Runs this program again, inside a new world, with these arguments.
///
/// # Errors
/// When the world cannot be made. What the program does there is in the status.
pub fn enter(arguments: &[&str]) -> anyhow::Result<ExitStatus> {
    enter_with(arguments, None)
}

/// The same; what the program has written to [`outcome`] is afterwards in `file`, outside.
///
/// # Errors
/// When the world, or the file, cannot be made.
pub fn enter_with(arguments: &[&str], file: Option<&Path>) -> anyhow::Result<ExitStatus> {
    let room = room()?;
    let status = enter_room(&room, arguments)?;
    if let Some(file) = file {
        let made = room.path().join(OUTCOME);
        std::fs::copy(&made, file).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(status)
}

/// Where something that lies beside the programs is found, inside.
///
/// # Errors
/// Outside, or when it lies elsewhere.
pub fn inside(path: &Path) -> anyhow::Result<PathBuf> {
    let folder = std::env::var_os("LAB_BIN").context("this is no world")?;
    let below = path.strip_prefix(&folder);
    let below = below.with_context(|| format!("{} is not beside the programs", path.display()))?;
    Ok(Path::new(PROGRAMS).join(below))
}

/// The name of the cgroups that whatever runs inside may make, at the top of each hierarchy: those
/// below it go with the world.
///
/// # Errors
/// Outside.
pub fn cgroup() -> anyhow::Result<String> {
    let room = std::env::var("LAB_ROOM").context("cgroups are made inside a world only")?;
    let name = Path::new(&room).file_name().context("the room has no name")?;
    Ok(name.to_string_lossy().into_owned())
}

/// Where a program inside leaves what is to be kept.
pub fn outcome() -> PathBuf {
    Path::new(ROOM).join(OUTCOME)
}

fn enter_room(room: &TempDir, arguments: &[&str]) -> anyhow::Result<ExitStatus> {
    ensure!(!is_inside(), "a world inside a world is not made");
    let _guard = Guard::over(room.path())?;
    let program = std::env::current_exe()?;
    let folder = programs(&program)?;
    let program = Path::new(PROGRAMS).join(program.strip_prefix(&folder)?);
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--fork", "--kill-child=KILL", "--pid"]);
    command.args(["--mount", "--mount-proc", "--propagation", "private", "--net", "--"]);
    command.args(["/bin/sh", "-c", FIRST, "world"]).arg(program).args(arguments);
    command.env("LAB_ROOM", room.path()).env("LAB_BIN", &folder).env(INSIDE, "yes");
    command.stdin(Stdio::null()).current_dir("/");
    command.status().context("cannot make a world (setpriv, unshare)")
}

/// An empty folder on a real disk, with what a world needs in it.
fn room() -> anyhow::Result<TempDir> {
    let prefix = format!("abide-lab-{}-", std::process::id());
    let room = tempfile::Builder::new().prefix(&prefix).tempdir()?;
    for folder in ["bin", "tmp", "hosts"] {
        std::fs::create_dir(room.path().join(folder))?;
    }
    Ok(room)
}

/// Cargo's folder with the programs, above or at this one's own.
fn programs(program: &Path) -> anyhow::Result<PathBuf> {
    let folder = program.ancestors().skip(1).find(|folder| folder.join("abide").is_file());
    let why = "no abide beside this program; run: cargo build --bin abide --bin abide-keeper";
    Ok(folder.context(why)?.to_owned())
}

/// Dropped, it goes without doing anything.
struct Guard(Child);

impl Guard {
    fn over(room: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", GUARD]).env("LAB_ROOM", room).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map(Self).context("cannot start the guard")
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
