//! Starting a process of the session from a clean slate: nothing of the keeper's, the agent's or
//! the launcher's environment, descriptors, signals, umask, limits or rights reaches it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Pid, Uid, setgroups, setresgid, setresuid, setsid};

use super::account::Account;
use super::environment::Variables;

/// As many descriptors as programs expect that still use select(2).
const SOFT_FILES: u64 = 1024;

/// What all processes of one session start from.
pub struct Slate {
    /// Who they are.
    pub account: Account,
    /// What they find in their environment.
    pub variables: Variables,
    /// What they are put into.
    pub cgroup: Option<OwnedFd>,
    /// What they may not give away.
    pub umask: Mode,
}

impl Slate {
    /// Starts a program. It dies with the keeper. `passed` stays open in it.
    ///
    /// # Errors
    /// Those of each step up to exec(2) itself.
    pub fn start(
        &self,
        argv: &[OsString],
        log: File,
        passed: Option<BorrowedFd<'_>>,
    ) -> io::Result<Pid> {
        let [program, arguments @ ..] = argv else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(&self.variables)
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log);
        let mut wipe = Wipe {
            keeper: Pid::this(),
            cgroup: self.cgroup.as_ref().map(AsRawFd::as_raw_fd),
            passed: passed.map(|fd| fd.as_raw_fd()),
            umask: self.umask,
            become_user: self
                .account
                .become_groups
                .clone()
                .map(|groups| (self.account.uid, self.account.gid, groups)),
            home: path_text(&self.account.home)?,
        };
        // SAFETY: the keeper has one thread, so the child may do whatever the parent may.
        unsafe { command.pre_exec(move || wipe.run()) };
        Ok(Pid::from_raw(command.spawn()?.id() as i32))
    }

    /// Where the program is that this name means, as the shell would look for it.
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        // Whether the person may run it is for the kernel to say: root may not be able to look
        // into a home folder on another host.
        let missing = |path: &Path| {
            path.symlink_metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
        };
        if program.contains('/') {
            let path = PathBuf::from(program);
            return (!missing(&path)).then_some(path);
        }
        let folders = self.variables.get(OsStr::new("PATH"))?;
        std::env::split_paths(folders)
            .map(|folder| folder.join(program))
            .find(|path| !missing(path))
    }
}

/// What the child does between fork and exec.
struct Wipe {
    keeper: Pid,
    cgroup: Option<RawFd>,
    passed: Option<RawFd>,
    umask: Mode,
    become_user: Option<(Uid, Gid, Vec<Gid>)>,
    home: std::ffi::CString,
}

impl Wipe {
    fn run(&mut self) -> io::Result<()> {
        if let Some(door) = self.cgroup {
            // SAFETY: the keeper holds it open.
            let door = unsafe { BorrowedFd::borrow_raw(door) };
            // Where it is refused, the process is still found as the keeper's descendant.
            let _ = rustix::io::write(door, b"0");
        }
        let _ = std::fs::write("/proc/self/oom_score_adj", "0");
        setsid()?;
        reset_signals();
        umask(self.umask);
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, soft.min(SOFT_FILES), hard)?;
        if let Some((uid, gid, groups)) = &self.become_user {
            become_user(*uid, *gid, groups)?;
        }
        // After the change of user, which clears it.
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        if Pid::parent() != self.keeper {
            return Err(io::Error::other("the keeper died"));
        }
        // As the person: root may not be allowed into a home on another host.
        if nix::unistd::chdir(self.home.as_c_str()).is_err() {
            nix::unistd::chdir("/")?;
        }
        close_from_3_at_exec()?;
        if let Some(passed) = self.passed {
            // SAFETY: the keeper holds it open.
            let passed = unsafe { BorrowedFd::borrow_raw(passed) };
            rustix::io::fcntl_setfd(passed, rustix::io::FdFlags::empty())?;
        }
        Ok(())
    }
}

fn reset_signals() {
    /// The kernel's sigaction structure, with SIG_DFL for a handler: all zero on every machine.
    const DEFAULT: [u64; 4] = [0; 4];
    const MASK_BYTES: usize = 8;
    for signal in 1..=64 {
        // The system call itself, since the C library keeps two signals to itself, which a caller
        // further up may have ignored all the same. SIGKILL and SIGSTOP are refused.
        // SAFETY: the default action needs no handler; the structure is long enough.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                DEFAULT.as_ptr(),
                std::ptr::null_mut::<u64>(),
                MASK_BYTES,
            )
        };
    }
    let _ = SigSet::all().thread_unblock();
}

fn become_user(uid: Uid, gid: Gid, groups: &[Gid]) -> io::Result<()> {
    setgroups(groups)?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    // Trust nothing here: a person's programs with a way back to root would be the end.
    let root = Uid::from_raw(0);
    match setresuid(root, root, root).is_err() && Uid::effective() == uid {
        true => Ok(()),
        false => Err(io::Error::other("root's rights could not be given up")),
    }
}

fn close_from_3_at_exec() -> io::Result<()> {
    // SAFETY: only sets a flag; the descriptors stay as they are until exec.
    let done = unsafe { libc::close_range(3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC as i32) };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn path_text(path: &Path) -> io::Result<std::ffi::CString> {
    use std::os::unix::ffi::OsStrExt;
    Ok(std::ffi::CString::new(path.as_os_str().as_bytes())?)
}
