//! Starting a session, step by step. A step that fails undoes all before it.

use std::error::Error;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt, chown, fchown};
use std::os::unix::net::UnixListener;
use std::path::Path;

use abide_desktop::{CgroupRecord, DisplayRecord, LockError, processes};
use abide_wire::keeper::{KeeperSpec, KeeperStatus};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, dup2_stderr, getgroups, setgroups, setsid};

use super::account::Account;
use super::control::Control;
use super::desktop::Desktop;
use super::display;
use super::environment::{self, Sources};
use super::household::Household;
use super::pam::{NoSession, PamSession};
use super::plan::{Identity, Plan};
use super::slate::Slate;
use super::start_error::StartError;
use super::vnc_password::{self, VncPassword};
use super::xauthority::Cookie;
use crate::signals::Signals;

/// What desktops are used to.
const DESKTOP_UMASK: Mode = Mode::from_bits_truncate(0o022);

/// How much of a log goes into an error, bytes.
const LOG_TAIL: u64 = 2048;

/// How often a display server is started whose socket another takes away.
const SERVER_TRIES: u32 = 3;

/// Starts the session that is asked for.
///
/// # Errors
/// See [`StartError`]; then nothing is left of it.
pub fn start(spec: KeeperSpec) -> Result<Household, StartError> {
    let plan = Plan::try_from(spec)?;
    // All that the keeper makes is its own; what others may see is opened file by file.
    umask(Mode::from_bits_truncate(0o077));
    let mut house = move_in(&plan)?;
    match furnish(&mut house, &plan) {
        Ok(()) => Ok(house),
        Err(error) => {
            house.undo();
            Err(error)
        }
    }
}

/// Takes the folder and becomes a keeper.
fn move_in(plan: &Plan) -> Result<Household, StartError> {
    let folder = &plan.folder;
    let failed = |cause: Box<dyn Error + Send + Sync>| StartError::Folder {
        path: folder.path().to_owned(),
        cause,
    };
    let made = match DirBuilder::new().mode(0o700).create(folder.path()) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(failed(error.into())),
    };
    let lock = folder.take_lock().map_err(|error| match error {
        LockError::Io(cause) => failed(cause.into()),
        other => failed(other.into()),
    })?;
    let opened = (|| {
        if let Some(gid) = plan.agent_gid() {
            // The person must get through to the inner folders, and the agent may look.
            open_to(folder.path(), None, Some(gid), 0o751)?;
            open_to(&folder.lock(), None, Some(gid), 0o640)?;
        }
        // Before this, what the keeper has to say goes where its starter's does.
        let log = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o640)
            .open(folder.keeper_log())?;
        dup2_stderr(log.as_fd())?;
        // Only refused to a process group's leader, which the caller may have made of us.
        let _ = setsid();
        nix::sys::prctl::set_child_subreaper(true)?;
        // Losing the keeper loses the session. Only root may ask for this.
        let _ = fs::write("/proc/self/oom_score_adj", "-900");
        Signals::take()
    })();
    let signals = match opened {
        Ok(signals) => signals,
        Err(cause) => {
            let _ = match made {
                true => fs::remove_dir_all(folder.path()),
                false => fs::remove_file(folder.lock()),
            };
            return Err(StartError::Keeper(cause));
        }
    };
    let pid = std::process::id();
    Ok(Household {
        session: plan.session.to_string(),
        folder: folder.clone(),
        agent_gid: plan.agent_gid(),
        grace: plan.grace,
        signals,
        cgroup: None,
        pam: None,
        server: None,
        display: None,
        command: None,
        control: None,
        status: KeeperStatus {
            pid,
            start_ticks: processes::start_ticks(pid).unwrap_or_default(),
            ..KeeperStatus::default()
        },
        end: None,
        lock,
    })
}

fn furnish(house: &mut Household, plan: &Plan) -> Result<(), StartError> {
    let mut slate = identify(house, plan)?;
    let record = CgroupRecord::plan(&house.session);
    house.cgroup = record.and_then(|record| make_cgroup(&record, &plan.folder.cgroup_record()));
    slate.cgroup = house.cgroup.as_ref().and_then(|cgroup| cgroup.folder().ok());

    let mut authority = start_display(house, plan, &slate)?;
    let number = house.status.display;
    slate.variables.insert("DISPLAY".into(), format!(":{number}").into());
    authority
        .file
        .write_all(&authority.cookie.here(&host_name(), number))
        .map_err(StartError::Files)?;

    start_desktop(house, plan, &slate)?;
    let listener = open_control(plan).map_err(StartError::Control)?;
    let control = Control::new(listener, &house.status).map_err(StartError::Control)?;
    house.control = Some(control);
    Ok(())
}

/// Finds out who the session's processes are, opens the PAM session, makes their folders.
fn identify(house: &mut Household, plan: &Plan) -> Result<Slate, StartError> {
    let user = plan.user.as_str();
    let folder = &plan.folder;
    let (account, runtime_dir, host, mask) = match &plan.identity {
        Identity::AgentUser { home, runtime_dir } => {
            make_private(home)?;
            make_private(runtime_dir)?;
            let private = Permissions::from_mode(0o700);
            fs::set_permissions(runtime_dir, private)
                .map_err(|cause| StartError::Home { path: runtime_dir.clone(), cause })?;
            let language = environment::language(std::env::vars_os());
            let account = Account::own(user, home.clone());
            (account, runtime_dir.clone(), language, DESKTOP_UMASK)
        }
        Identity::LoginUser { service, .. } => {
            let mut account = Account::of(user)?;
            // As login(1) does: modules add to the groups of the process that calls them.
            let groups = account.become_groups.take().unwrap_or_default();
            setgroups(&groups).map_err(|e| StartError::Keeper(e.into()))?;
            let own_mask = umask(DESKTOP_UMASK);
            let opened = PamSession::open(service, user);
            let mask = umask(own_mask);
            let pam = house.pam.insert(opened?);
            let found = pam.user().map_err(NoSession::from)?;
            if found != user {
                let asked = user.to_owned();
                return Err(StartError::Renamed { asked, found });
            }
            let groups = getgroups().map_err(|e| StartError::Keeper(e.into()))?;
            account.become_groups = Some(groups);
            (account, folder.runtime(), pam.environment(), mask)
        }
    };
    let variables = environment::build(Sources {
        account: &account,
        runtime_dir: &runtime_dir,
        host,
        profile: &plan.environment,
        authority: &folder.authority(),
        session: &house.session,
    });
    let own_runtime =
        variables.get(OsStr::new("XDG_RUNTIME_DIR")) == Some(&folder.runtime().into_os_string());
    let made = (|| {
        DirBuilder::new().mode(0o700).create(folder.user())?;
        DirBuilder::new().mode(0o700).create(folder.server())?;
        if own_runtime {
            DirBuilder::new().mode(0o700).create(folder.runtime())?;
            give(&account, &folder.runtime())?;
        }
        Ok(())
    })();
    made.map_err(StartError::Files)?;
    Ok(Slate { account, variables, cgroup: None, umask: mask })
}

/// The cookie, and the file it goes into. The file stays open because it lies where the person
/// can put another in its place.
struct Authority {
    cookie: Cookie,
    file: File,
}

fn start_display(
    house: &mut Household,
    plan: &Plan,
    slate: &Slate,
) -> Result<Authority, StartError> {
    let folder = &plan.folder;
    let account = &slate.account;
    let written = (|| {
        let cookie = Cookie::random()?;
        let mut file = new_file(account, &folder.authority())?;
        file.write_all(&cookie.anywhere())?;
        let (full, view_only) = (VncPassword::random()?, VncPassword::random()?);
        new_file(account, &folder.passwords())?
            .write_all(&vnc_password::file(&full, &view_only))?;
        house.status.full_password = full.text();
        house.status.view_password = view_only.text();
        let log = new_file(account, &folder.display_log())?;
        if account.become_groups.is_some() {
            // Last: from here on the person can change what is in them.
            give(account, &folder.user())?;
            // Set-gid, so that the socket gets the agent's group.
            open_to(&folder.server(), Some(account.uid.as_raw()), plan.agent_gid(), 0o2770)?;
        }
        Ok((Authority { cookie, file }, log))
    })();
    let (authority, log) = written.map_err(StartError::Files)?;

    let mut tries = 1..=SERVER_TRIES;
    let (server, number, record) = loop {
        let (server, number) = run_server(house, plan, slate, &log)?;
        match DisplayRecord::of(number) {
            Ok(record) => break (server, number, record),
            // A server of that number was just ending, and removed the socket by its name.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound && tries.next().is_some() => {
                eprintln!("The socket of display {number} was taken away: starting another server");
                stop_server(house, &folder.rfb_socket());
            }
            Err(cause) => return Err(StartError::Server { log: tail(&log), cause }),
        }
    };
    house.display = Some(record);
    record.write(&folder.display_record()).map_err(StartError::Files)?;
    if account.become_groups.is_some() {
        // The socket is there, and nobody can put another in its place any more. The person needs
        // to get through to `passwd`, which the server reads for each connection.
        open_to(&folder.server(), Some(0), plan.agent_gid(), 0o751).map_err(StartError::Files)?;
    }
    display::check_socket(&folder.rfb_socket(), server)
        .map_err(|cause| StartError::Server { log: tail(&log), cause })?;
    house.status.display = number;
    house.status.display_server_pid = server.as_raw() as u32;
    house.status.rfb_socket = folder.rfb_socket().display().to_string();
    Ok(authority)
}

/// Runs the display server; gives its process and the number of its display once it serves.
fn run_server(
    house: &mut Household,
    plan: &Plan,
    slate: &Slate,
    log: &File,
) -> Result<(Pid, u32), StartError> {
    let (read, write) = display::number_pipe().map_err(StartError::Files)?;
    let title = format!("{}@{}", plan.user, host_name());
    let argv = display::argv(&plan.server, &plan.folder, &title, write.as_fd());
    let run = slate.start(&argv, log, Some(write.as_fd()));
    let server =
        run.map_err(|cause| StartError::RunServer { program: plan.server.program.clone(), cause })?;
    drop(write);
    house.server = Some(server);
    let number = display::wait_for_number(read)
        .and_then(|number| number.ok_or_else(|| io::Error::other("it ended")))
        .map_err(|cause| StartError::Server { log: tail(log), cause })?;
    Ok((server, number))
}

fn stop_server(house: &mut Household, socket: &Path) {
    if let Some(server) = house.server.take() {
        // Our child, not waited for before: the number is still its own.
        let _ = kill(server, Signal::SIGKILL);
        let _ = waitpid(server, None);
    }
    let _ = fs::remove_file(socket);
}

fn start_desktop(house: &mut Household, plan: &Plan, slate: &Slate) -> Result<(), StartError> {
    let folder = &plan.folder;
    // Xsession would say so only in a log.
    let program = &plan.command[0];
    if slate.find(program.as_ref()).is_none() {
        let program = program.clone();
        return Err(StartError::NoProgram { program });
    }
    let prepared = (|| {
        let desktop = match plan.plain {
            true => Desktop::plain(&plan.command),
            false => Desktop::full(&plan.command, &folder.command())?,
        };
        if let Some(script) = &desktop.script {
            new_file(&slate.account, &folder.command())?.write_all(script.as_bytes())?;
        }
        Ok((desktop, new_file(&slate.account, &folder.desktop_log())?))
    })();
    let (desktop, log) = prepared.map_err(StartError::Files)?;
    let started = slate.start(&desktop.argv, &log, None);
    let command = started.map_err(|cause| StartError::RunDesktop {
        program: desktop.argv[0].display().to_string(),
        cause,
    })?;
    house.command = Some(command);
    house.status.command_pid = command.as_raw() as u32;
    Ok(())
}

fn open_control(plan: &Plan) -> io::Result<UnixListener> {
    let path = plan.folder.control();
    let listener = UnixListener::bind(&path)?;
    if let Some(gid) = plan.agent_gid() {
        open_to(&path, None, Some(gid), 0o660)?;
    }
    Ok(listener)
}

/// The record first: a keeper that dies in between leaves nothing that nobody knows of.
fn make_cgroup(record: &CgroupRecord, file: &Path) -> Option<abide_desktop::Cgroup> {
    let made = record.write(file).and_then(|()| record.make());
    made.inspect_err(|error| {
        eprintln!("The session gets no cgroup: {error}");
        let _ = fs::remove_file(file);
    })
    .ok()
}

/// A folder for the person alone, with those above it.
fn make_private(path: &Path) -> Result<(), StartError> {
    let mut builder = DirBuilder::new();
    let made = builder.mode(0o700).recursive(true).create(path);
    made.map_err(|cause| StartError::Home { path: path.to_owned(), cause })
}

/// A new file of the person's, readable by nobody else. A link or file that is there already is an
/// error: the person has other programs running.
fn new_file(account: &Account, path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create_new(true).mode(0o600);
    let file = options.open(path)?;
    if account.become_groups.is_some() {
        let (uid, gid) = (account.uid.as_raw(), account.gid.as_raw());
        fchown(file.as_fd(), Some(uid), Some(gid))?;
    }
    Ok(file)
}

fn give(account: &Account, folder: &Path) -> io::Result<()> {
    let (uid, gid) = (account.uid.as_raw(), account.gid.as_raw());
    chown(folder, Some(uid), Some(gid))
}

/// Owner, group and mode of something whose name only the keeper can change.
fn open_to(path: &Path, uid: Option<u32>, gid: Option<u32>, mode: u32) -> io::Result<()> {
    chown(path, uid, gid)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

fn tail(log: &File) -> String {
    let length = log.metadata().map_or(0, |facts| facts.len());
    let mut text = vec![0; length.min(LOG_TAIL) as usize];
    let start = length - text.len() as u64;
    match log.read_exact_at(&mut text, start) {
        Ok(()) => String::from_utf8_lossy(&text).trim().to_owned(),
        Err(error) => format!("(its log cannot be read: {error})"),
    }
}

fn host_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
