//! Starting a process of the session from a clean slate: nothing of the keeper's, the agent's or
//! the launcher's environment, descriptors, signals, umask, limits or rights reaches it.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Pid, Uid, setgroups, setresgid, setresuid, setsid};

use super::account::Account;
use super::environment::Variables;
use crate::children;

/// As many descriptors as programs expect that still use select(2).
const SOFT_FILES: u64 = 1024;

/// What all processes of one session start from.
pub struct Slate {
    /// Who they are.
    pub account: Account,
    /// What they find in their environment.
    pub variables: Variables,
    /// The folder of the cgroup that they are born into.
    pub cgroup: Option<OwnedFd>,
    /// What they may not give away.
    pub umask: Mode,
}

impl Slate {
    /// Starts a program. It dies with the keeper. `passed` stays open in it.
    ///
    /// # Errors
    /// Those of each step up to exec(2) itself; `NotFound` when there is no such program.
    pub fn start(
        &self,
        argv: &[OsString],
        log: &File,
        passed: Option<BorrowedFd<'_>>,
    ) -> io::Result<Pid> {
        let name = argv.first().ok_or(io::ErrorKind::InvalidInput)?;
        let missing = || io::Error::from_raw_os_error(libc::ENOENT);
        let program = self.find(name).ok_or_else(missing)?;
        let null = File::open("/dev/null")?;
        let cgroup = self.cgroup.as_ref().map(AsFd::as_fd);
        let mut child = Child {
            keeper: Pid::this(),
            program: text(program.as_os_str())?,
            argv: argv.iter().map(|word| text(word)).collect::<io::Result<_>>()?,
            envp: self.entries()?,
            home: text(self.account.home.as_os_str())?,
            slate: self,
            stdio: [null.as_fd(), log.as_fd(), log.as_fd()],
            passed,
            goes_to: None,
        };
        // The kernel may be unable to, or kill what is born there (6.14 and later, if the keeper's
        // own cgroup was ever killed). Then the child is moved there, as slow as that is.
        match fork_into(cgroup) {
            Ok(forked) => {
                if let Some(pid) = child.launch(forked)? {
                    return Ok(pid);
                }
            }
            Err(error) if cgroup.is_none() => return Err(error),
            Err(_) => {}
        }
        child.goes_to = cgroup;
        let started = child.launch(fork_into(None)?)?;
        started.ok_or_else(|| io::Error::other("it was killed at birth"))
    }

    /// Where the program is that this name means, as the shell would look for it.
    pub fn find(&self, program: &OsStr) -> Option<PathBuf> {
        if program.as_bytes().contains(&b'/') {
            // Whether the person may run it is for the kernel to say: root may not be able to
            // look into a home folder on another host.
            let path = PathBuf::from(program);
            let looked = path.symlink_metadata();
            let missing = looked.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
            return (!missing).then_some(path);
        }
        let folders = self.variables.get(OsStr::new("PATH"))?;
        let runs = |path: &PathBuf| {
            let facts = path.metadata();
            facts.is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
        };
        std::env::split_paths(folders).map(|folder| folder.join(program)).find(runs)
    }

    fn entries(&self) -> io::Result<Vec<CString>> {
        let entry = |(name, value): (&OsString, &OsString)| {
            let mut entry = name.clone();
            entry.push("=");
            entry.push(value);
            text(&entry)
        };
        self.variables.iter().map(entry).collect()
    }
}

/// Forks, the child being born in `cgroup`.
///
/// Not by moving it there: that waits for all processors to have noticed, 10 to 15 ms each time.
fn fork_into(cgroup: Option<BorrowedFd<'_>>) -> io::Result<Forked> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let (failure, report) = io::pipe()?;
    // SAFETY: plain numbers, of which zero means "nothing".
    let mut how: libc::clone_args = unsafe { std::mem::zeroed() };
    how.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        how.flags = CLONE_INTO_CGROUP;
        how.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM this is fork(2). The keeper has one thread, so the child finds no
    // lock taken and may do whatever the parent may.
    match unsafe { libc::syscall(libc::SYS_clone3, &how, size_of_val(&how)) } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child { report }),
        pid => Ok(Forked::Parent { pid: Pid::from_raw(pid as i32), failure }),
    }
}

/// The two sides of a fork, and of the pipe between them. By it the child says [`READY`] when only
/// exec is left to do; then exec closes it, or the number of the error follows that stopped it.
enum Forked {
    Parent { pid: Pid, failure: io::PipeReader },
    Child { report: io::PipeWriter },
}

/// The child lived to say something.
const READY: u8 = 1;

/// What the child has between fork and exec.
struct Child<'a> {
    keeper: Pid,
    program: CString,
    argv: Vec<CString>,
    envp: Vec<CString>,
    home: CString,
    slate: &'a Slate,
    stdio: [BorrowedFd<'a>; 3],
    passed: Option<BorrowedFd<'a>>,
    /// The cgroup to move to, if it was not born there.
    goes_to: Option<BorrowedFd<'a>>,
}

impl Child<'_> {
    /// In the child: becomes the program, or says why not and ends. In the parent: hears how it
    /// went; `None` when the child was killed before it could do anything.
    fn launch(&self, forked: Forked) -> io::Result<Option<Pid>> {
        let (pid, mut failure) = match forked {
            Forked::Parent { pid, failure } => (pid, failure),
            Forked::Child { report } => self.become_program(&report),
        };
        let mut said = Vec::new();
        failure.read_to_end(&mut said)?;
        match said[..] {
            [] => {
                children::reap(pid);
                Ok(None)
            }
            [READY, a, b, c, d] => {
                let number = i32::from_ne_bytes([a, b, c, d]);
                Err(io::Error::from_raw_os_error(number))
            }
            _ => Ok(Some(pid)),
        }
    }

    fn become_program(&self, report: &io::PipeWriter) -> ! {
        let wiped = self.wipe();
        let _ = rustix::io::write(report, &[READY]);
        let error = match wiped.and_then(|()| self.exec()) {
            Ok(never) => match never {},
            Err(error) => error,
        };
        let number = error.raw_os_error().unwrap_or(libc::EPERM);
        let _ = rustix::io::write(report, &number.to_ne_bytes());
        // SAFETY: ends the child at once; nothing of the parent's is flushed or removed by it.
        unsafe { libc::_exit(127) }
    }

    fn exec(&self) -> io::Result<Infallible> {
        nix::unistd::execve(&self.program, &self.argv, &self.envp)?;
        Err(io::ErrorKind::Other.into())
    }

    fn wipe(&self) -> io::Result<()> {
        if let Some(cgroup) = self.goes_to {
            let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC;
            let none = rustix::fs::Mode::empty();
            // Where it is refused, the process is still found as the keeper's descendant.
            let _ = rustix::fs::openat(cgroup, "cgroup.procs", flags, none)
                .and_then(|door| rustix::io::write(door, b"0"));
        }
        // Refused to no process for itself, unless it would protect it.
        let _ = std::fs::write("/proc/self/oom_score_adj", "0");
        setsid()?;
        reset_signals();
        umask(self.slate.umask);
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, soft.min(SOFT_FILES), hard)?;
        let account = &self.slate.account;
        if let Some(groups) = &account.become_groups {
            become_user(account.uid, account.gid, groups)?;
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
        let [input, output, errors] = self.stdio;
        nix::unistd::dup2_stdin(input)?;
        nix::unistd::dup2_stdout(output)?;
        nix::unistd::dup2_stderr(errors)?;
        close_from_3_at_exec()?;
        if let Some(passed) = self.passed {
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

fn text(from: &OsStr) -> io::Result<CString> {
    Ok(CString::new(from.as_bytes())?)
}
