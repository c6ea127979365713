//! Sessions as their users, with PAM.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use abide_wire::keeper::{KeeperSpec, LoginUser, keeper_spec::Identity};

use crate::desk::{Desk, eventually, keeper, start, try_start_by};
use crate::namespace::{self, AGENT, ALICE};
use crate::rfb::lets_in;

/// A desk whose people have accounts, and whose PAM services are these. Each writes down what it
/// does, by `pam_exec`.
fn desk() -> Desk {
    let desk = Desk::new();
    fs::set_permissions(desk.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let record = desk.path().join("record");
    fs::write(&record, "#!/bin/sh\necho \"$PAM_TYPE $PAM_USER $PAM_TTY\" >> \"$0.txt\"\n").unwrap();
    fs::set_permissions(&record, fs::Permissions::from_mode(0o755)).unwrap();
    let record = record.display();
    let session = format!(
        "auth required pam_permit.so\n\
         account required pam_unix.so\n\
         session required pam_unix.so\n\
         session required pam_env.so readenv=1 envfile={}\n\
         session required pam_umask.so umask=0027\n\
         session required pam_exec.so {record}\n",
        desk.path().join("env").display()
    );
    fs::write(desk.path().join("env"), "FROM_PAM=yes\nHOME=/wrong\n").unwrap();
    let closed = "account required pam_deny.so\n".to_owned();
    namespace::enter(desk.path(), &[("abide", session), ("closed", closed)]);
    desk
}

fn spec(desk: &Desk, user: &str, command: &[&str]) -> KeeperSpec {
    let mut spec = desk.spec(command);
    spec.user = user.into();
    spec.identity =
        Some(Identity::LoginUser(LoginUser { pam_service: "abide".into(), agent_gid: AGENT }));
    spec
}

fn uids(pid: u32) -> (String, String) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_ascii_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    (line("Uid:"), line("Groups:"))
}

/// Whether someone with these ids may do this with the file: `-r`, `-w`, `-x`.
fn may(uid: u32, gid: u32, what: &str, file: &Path) -> bool {
    let mut test = Command::new("/usr/bin/test");
    test.arg(what).arg(file).uid(uid).gid(gid);
    test.status().unwrap().success()
}

#[test]
fn a_session_runs_as_its_user_and_the_pam_session_spans_it() {
    let desk = desk();
    let script = "env > ~/env; umask > ~/umask; xdpyinfo > ~/display 2>&1; \
                  kill -0 $PPID 2> ~/keeper || echo no >> ~/keeper; exec sleep 1000";
    let mut kept = start(&spec(&desk, "alice", &["sh", "-c", script]));
    let record = desk.path().join("record.txt");
    assert_eq!(fs::read_to_string(&record).unwrap(), "open_session alice abide\n");

    let status = kept.status.clone();
    let alice = (format!("{ALICE} {ALICE} {ALICE} {ALICE}"), format!("{ALICE} 54340"));
    assert_eq!(uids(status.display_server_pid), alice);
    eventually("the command is there", || uids(status.command_pid) == alice);
    assert!(uids(status.pid).0.starts_with("0 0 "));

    let home = desk.path().join("alice");
    let read = |name: &str| {
        let text = || fs::read_to_string(home.join(name)).unwrap_or_default();
        eventually(name, || text().ends_with('\n'));
        text()
    };
    assert!(read("display").contains("name of display"));
    assert!(read("keeper").ends_with("no\n"), "the keeper is out of the user's reach");
    assert_eq!(read("umask"), "0027\n");
    let env = read("env");
    let runtime = kept.folder.runtime();
    for expected in [
        "FROM_PAM=yes".to_owned(),
        "USER=alice".to_owned(),
        format!("HOME={}", home.display()),
        format!("XDG_RUNTIME_DIR={}", runtime.display()),
    ] {
        assert!(env.lines().any(|line| line == expected), "{expected} is not in {env}");
    }
    assert_eq!(fs::metadata(&runtime).unwrap().mode() & 0o7777, 0o700);

    let traces = kept.traces();
    kept.end("done");
    traces.assert_all_gone();
    let record = fs::read_to_string(&record).unwrap();
    assert_eq!(record, "open_session alice abide\nclose_session alice abide\n");
}

#[test]
fn the_agent_reaches_the_sockets_and_nobody_can_put_others_in_their_place() {
    let desk = desk();
    let mut kept = start(&spec(&desk, "alice", &["sleep", "1000"]));
    let folder = kept.folder.clone();
    assert!(lets_in(folder.rfb_socket(), &kept.status.full_password));
    // The agent's group may use both sockets and read what the agent reads.
    for (file, what) in
        [(folder.rfb_socket(), "-w"), (folder.control(), "-w"), (folder.lock(), "-r")]
    {
        assert!(may(AGENT, AGENT, what, &file), "{}", file.display());
        assert!(!may(54399, 54399, what, &file), "{} is open", file.display());
    }
    assert!(!may(AGENT, AGENT, "-r", &folder.passwords()));
    assert!(!may(AGENT, AGENT, "-x", &folder.user()));
    // The user may use what is the user's, and replace nothing that others open by name.
    assert!(may(ALICE, ALICE, "-w", &folder.authority()));
    assert!(may(ALICE, ALICE, "-r", &folder.passwords()), "the display server reads it");
    assert!(!may(ALICE, ALICE, "-w", &folder.control()));
    for place in [folder.path().to_owned(), folder.server()] {
        assert!(!may(ALICE, ALICE, "-w", &place), "{} can be changed", place.display());
    }
    // `ended` is for the agent to read.
    kept.end("done");
    assert!(may(AGENT, AGENT, "-r", &folder.ended()));
}

#[test]
fn a_link_that_the_user_puts_in_place_of_the_socket_fails_the_start() {
    let desk = desk();
    // A display server that says it serves while its socket is another process's.
    let liar = desk.path().join("liar");
    let script = format!(
        "#!/bin/sh\nwhile [ $# -gt 0 ]; do case $1 in -displayfd) fd=$2;; \
         -rfbunixpath) path=$2;; esac; shift; done\n\
         ln -s {} \"$path\"\nexec /usr/bin/Xvnc -displayfd \"$fd\" -rfbport -1 -auth /dev/null\n",
        desk.path().join("other.sock").display()
    );
    fs::write(&liar, script).unwrap();
    fs::set_permissions(&liar, fs::Permissions::from_mode(0o755)).unwrap();
    let _other = std::os::unix::net::UnixListener::bind(desk.path().join("other.sock")).unwrap();
    let mut spec = spec(&desk, "alice", &["sleep", "1000"]);
    spec.display_server.as_mut().unwrap().program = liar.display().to_string();
    let Err(failed) = try_start_by(keeper(), &spec) else { panic!("it started") };
    assert_eq!(failed.stage, "starting the display server");
    assert!(failed.detail.contains("listens on the display's socket"), "{}", failed.detail);
    let record = fs::read_to_string(desk.path().join("record.txt")).unwrap();
    assert!(record.ends_with("close_session alice abide\n"), "PAM is closed again: {record}");
}

#[test]
fn whom_the_host_or_pam_refuses_gets_no_session_and_leaves_nothing() {
    let desk = desk();
    let fails = |spec: &KeeperSpec, stage: &str, detail: &str| {
        let Err(failed) = try_start_by(keeper(), spec) else { panic!("{stage}: it started") };
        assert_eq!(failed.stage, stage, "{}", failed.detail);
        assert!(failed.detail.contains(detail), "{:?} has no {detail:?}", failed.detail);
        assert!(fs::symlink_metadata(&spec.folder).is_err(), "the folder is left");
    };
    let by = |user: &str| spec(&desk, user, &["sleep", "1000"]);
    fails(&by("root"), "looking up the user", "root, who gets no desktop");
    fails(&by("nobody-here"), "looking up the user", "there is no user nobody-here");
    fails(&by("expired"), "opening the PAM session", "pam_acct_mgmt");
    let mut closed = by("alice");
    closed.identity =
        Some(Identity::LoginUser(LoginUser { pam_service: "closed".into(), agent_gid: AGENT }));
    fails(&closed, "opening the PAM session", "pam_acct_mgmt");
    assert!(!desk.path().join("record.txt").exists(), "no session was opened");
}
