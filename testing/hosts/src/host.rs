//! One host: on or off, and what can be done on it while it is on.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use abide_lab::network::{self, Host as Place};
use abide_lab::world;
use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::base::Base;
use crate::disk::Disk;
use crate::notify::Notify;

/// A host boots in a second or two; on a machine that is busy with others', longer.
const BOOTS_WITHIN: Duration = Duration::from_secs(90);
/// All processes of a host die of a kill at once, but one that waits for the machine's disk.
const ENDS_WITHIN: Duration = Duration::from_secs(20);
/// How much of a host's console is told when a story fails, lines.
const TOLD: usize = 250;
/// What systemd-nspawn gives by itself, and memory locks for the cluster managers. Not the machine's
/// clock, kernel modules or raw devices.
const CAPABILITIES: &str = "--capability=CAP_NET_ADMIN,CAP_IPC_LOCK";
/// Joins the cgroups that are its arguments up to `--`, and becomes the rest.
const IN_CGROUPS: &str = r#"
while [ "$1" != -- ]; do mkdir -p "$1" && echo $$ >"$1/cgroup.procs" || exit 90; shift; done
shift; exec "$@"
"#;

/// A host.
#[derive(Debug)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Where it is in the network.
    pub place: Place,
    folder: PathBuf,
    disk: Disk,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    nspawn: Child,
    /// As the lab sees it.
    init: i32,
}

/// What a command on a host came to.
#[derive(Debug, Clone)]
pub struct Said {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Host {
    /// A host that is off, with an empty disk.
    pub(crate) fn make(name: &str, number: u8, base: &Base) -> anyhow::Result<Self> {
        let folder = Path::new(world::ROOM).join("hosts").join(name);
        let disk = Disk::make(&folder, base)?;
        let (name, place) = (name.to_owned(), Place { number });
        Ok(Self { name, place, folder, disk, running: Mutex::new(None) })
    }

    /// Switches it on; returns when it has booted.
    ///
    /// # Errors
    /// When it is on, or does not come up.
    pub fn boot(&self) -> anyhow::Result<()> {
        let mut running = self.lock();
        ensure!(running.is_none(), "{} is on already", self.name);
        network::plug_in(self.place)?;
        self.disk.mount()?;
        let notify = Notify::bind(&self.folder.join("notify"))?;
        let mut nspawn = self.nspawn()?.spawn().context("cannot run systemd-nspawn")?;
        let init = notify
            .wait(&mut nspawn, BOOTS_WITHIN)
            .with_context(|| format!("{} does not boot", self.name));
        let init = init.inspect_err(|_| drop(nspawn.kill().and_then(|()| nspawn.wait())))?;
        *running = Some(Running { nspawn, init });
        Ok(())
    }

    /// Its power fails: the network card is dead, the disk keeps what it has, every process is gone.
    ///
    /// # Errors
    /// When it is off, or one of the steps fails.
    pub fn power_off(&self) -> anyhow::Result<()> {
        let mut running = self.lock().take().with_context(|| format!("{} is off", self.name))?;
        network::pull_out(self.place)?;
        // Nothing on it notices the rest: a program that saw its disk fail would act on that.
        self.freeze("1")?;
        self.disk.lose_power()?;
        let init = Pid::from_raw(running.init).context("no process id")?;
        kill_process(init, Signal::KILL)?;
        await_end(running.init)?;
        // systemd-nspawn stands still too, and has to see the end.
        self.freeze("0")?;
        running.nspawn.wait()?;
        self.disk.unmount()
    }

    /// It is shut down in order.
    ///
    /// # Errors
    /// When it is off, or does not go down.
    pub fn shut_down(&self) -> anyhow::Result<()> {
        self.run("systemctl poweroff --no-wall")?;
        let mut running = self.lock().take().with_context(|| format!("{} is off", self.name))?;
        running.nspawn.wait()?;
        network::pull_out(self.place)?;
        self.disk.unmount()
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        self.lock().is_some()
    }

    /// Runs a shell's words on it as root; gives what they wrote to standard output.
    ///
    /// # Errors
    /// When it is off, or they fail: with all that they said.
    pub fn run(&self, words: &str) -> anyhow::Result<String> {
        self.feed(words, "")
    }

    /// The same, with this for standard input.
    ///
    /// # Errors
    /// The same.
    pub fn feed(&self, words: &str, input: &str) -> anyhow::Result<String> {
        let said = self.try_run(words, input)?;
        let Said { status, out, err } = &said;
        ensure!(status.success(), "on {}: {words}: {status}\n{out}{err}", self.name);
        Ok(said.out)
    }

    /// The same, whatever it comes to.
    ///
    /// # Errors
    /// When it is off.
    pub fn try_run(&self, words: &str, input: &str) -> anyhow::Result<Said> {
        let Some(init) = self.lock().as_ref().map(|it| it.init) else {
            bail!("{} is off: {words}", self.name);
        };
        let mut enter = Command::new("nsenter");
        enter.args(["--target", &init.to_string(), "--mount", "--uts", "--ipc", "--net", "--pid"]);
        enter.args(["--cgroup", "--root", "--wd", "--", "/bin/bash", "-c", words]);
        enter.env_clear().env("HOME", "/root").env("LANG", "C.UTF-8");
        enter.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        enter.env("DEBIAN_FRONTEND", "noninteractive");
        enter.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = enter.spawn().context("cannot run nsenter")?;
        if let Some(mut stdin) = child.stdin.take() {
            // Who reads nothing may be gone before; the status tells.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Said { status: output.status, out: text(output.stdout), err: text(output.stderr) })
    }

    /// Puts a file on it, with the folders above.
    ///
    /// # Errors
    /// When it is off, or the file cannot be written.
    pub fn write(&self, path: &str, text: &str) -> anyhow::Result<()> {
        self.feed(&format!("mkdir -p \"$(dirname {path})\" && cat >{path}"), text).map(drop)
    }

    /// Where a file of its is, for the lab.
    pub fn file(&self, path: &str) -> PathBuf {
        self.disk.root().join(path.trim_start_matches('/'))
    }

    /// The end of what its console has shown.
    pub(crate) fn console_of(folder: &Path) -> String {
        let text = std::fs::read(folder.join("console")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TOLD)..].join("\n")
    }

    fn nspawn(&self) -> anyhow::Result<Command> {
        let console =
            File::options().create(true).append(true).open(self.folder.join("console"))?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", IN_CGROUPS, "nspawn"]).args(self.cgroups()?);
        command.args(["--", "systemd-nspawn", "--quiet", "--boot", "--notify-ready=yes"]);
        command.args(["--register=no", "--keep-unit", "--link-journal=no", "--resolv-conf=off"]);
        command.args(["--timezone=off", "--console=read-only", CAPABILITIES]);
        command.arg(format!("--network-namespace-path=/run/netns/{}", self.place.namespace()));
        command.arg(format!("--machine={}", self.name)).arg(format!("--hostname={}", self.name));
        command.arg("--directory").arg(self.disk.root());
        command.env("NOTIFY_SOCKET", self.folder.join("notify"));
        // A host sets its own network's parameters.
        command.env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network");
        command.stdin(Stdio::null()).stdout(console.try_clone()?).stderr(console);
        Ok(command)
    }

    /// Where systemd keeps its units' processes, in whichever hierarchies the machine has: a host's
    /// init takes the cgroup that it is born into for its own.
    fn cgroups(&self) -> anyhow::Result<Vec<PathBuf>> {
        let tops = ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"];
        let tops = tops.into_iter().filter(|top| Path::new(top).join("cgroup.procs").exists());
        let world = world::cgroup()?;
        Ok(tops.map(|top| Path::new(top).join(&world).join(&self.name)).collect())
    }

    /// Has its processes stand still ("1") where the machine has a cgroup for that, or go on ("0").
    fn freeze(&self, how: &str) -> anyhow::Result<()> {
        let doors = self.cgroups()?.into_iter().map(|it| it.join("cgroup.freeze"));
        let mut doors = doors.filter(|it| it.exists());
        Ok(doors.try_for_each(|door| std::fs::write(door, how))?)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until this process, and with it all of its namespace, has ended; its parent need not have seen it.
fn await_end(pid: i32) -> anyhow::Result<()> {
    let end = Instant::now() + ENDS_WITHIN;
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with(['Z', 'X'])) {
            return Ok(());
        }
        ensure!(Instant::now() < end, "the host's processes do not end");
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // What is not ended here ends with the world.
        if let Some(mut running) = self.lock().take() {
            let _ = Pid::from_raw(running.init).map(|init| kill_process(init, Signal::KILL));
            let _ = running.nspawn.wait();
        }
    }
}
