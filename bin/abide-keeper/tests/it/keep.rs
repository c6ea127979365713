//! Starting sessions.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use abide_desktop::{Cgroup, CgroupRecord};
use abide_wire::keeper::DisplayServer;

use crate::desk::{Desk, KEEPER, Kept, dirty, eventually, keeper, start, try_start_by};
use crate::rfb::lets_in;

#[test]
fn a_session_accepts_viewers_by_its_two_passwords_only() {
    let desk = Desk::new();
    let mut kept = start(&desk.spec(&["sleep", "1000"]));
    let status = kept.status.clone();
    assert_ne!(status.full_password, status.view_password);
    assert!(lets_in(&status.rfb_socket, &status.full_password));
    assert!(lets_in(&status.rfb_socket, &status.view_password));
    assert!(!lets_in(&status.rfb_socket, "wrong-pw"));
    // Wrong passwords and bare connects lock nobody out.
    for _ in 0..20 {
        assert!(!lets_in(&status.rfb_socket, "wrong-pw"));
    }
    assert!(lets_in(&status.rfb_socket, &status.full_password));
    assert_eq!(status.pid, kept.child.id());
    kept.traces().assert_all_there();
    let traces = kept.traces();
    kept.end("done");
    traces.assert_all_gone();
}

#[test]
fn a_display_whose_socket_a_dying_server_took_away_is_started_anew() {
    let desk = Desk::new();
    // At first a server that serves a display without a socket, then the real one.
    let (robbed, first) = (desk.path().join("robbed"), desk.path().join("first"));
    let script = format!(
        "#!/bin/sh\nmkdir {} 2>/dev/null || exec /usr/bin/Xvnc \"$@\"\n\
         while [ \"$1\" != -displayfd ]; do shift; done\n\
         echo 4242 > /proc/self/fd/$2\nexec sleep 1000\n",
        first.display()
    );
    fs::write(&robbed, script).unwrap();
    fs::set_permissions(&robbed, fs::Permissions::from_mode(0o755)).unwrap();
    let mut spec = desk.spec(&["sleep", "1000"]);
    spec.display_server.as_mut().unwrap().program = robbed.display().to_string();
    let mut kept = start(&spec);
    assert!(first.exists());
    assert_ne!(kept.status.display, 4242);
    assert!(lets_in(&kept.status.rfb_socket, &kept.status.full_password));
    let traces = kept.traces();
    kept.end("done");
    traces.assert_all_gone();
}

#[test]
fn programs_find_a_clean_slate_and_a_display_that_lets_them_in() {
    let desk = Desk::new();
    let script = "xdpyinfo > ~/display 2>&1; env > ~/env; umask > ~/umask; pwd > ~/cwd; \
                  cat /proc/self/status > ~/status; ls /proc/self/fd > ~/fds; exec sleep 1000";
    let mut spec = desk.spec(&["sh", "-c", script]);
    spec.environment.insert("EDITOR".into(), "vi".into());
    let mut command = keeper();
    dirty(&mut command);
    let kept = try_start_by(command, &spec).unwrap();

    // 0, 1, 2, and ls's own of the folder.
    assert_eq!(desk.read_home("fds"), "0\n1\n2\n3\n");
    assert!(desk.read_home("display").contains("name of display"));
    let env = desk.read_home("env");
    assert!(!env.contains("SECRET"), "{env}");
    let home = desk.home().display().to_string();
    for expected in [
        "EDITOR=vi".to_owned(),
        format!("DISPLAY=:{}", kept.status.display),
        format!("ABIDE_SESSION={}", kept.session),
        format!("HOME={home}"),
        "USER=alice".to_owned(),
        "LOGNAME=alice".to_owned(),
        "XDG_SESSION_TYPE=x11".to_owned(),
        format!("XDG_RUNTIME_DIR={}", desk.path().join("runtime").display()),
        format!("XAUTHORITY={}", kept.folder.authority().display()),
    ] {
        assert!(env.lines().any(|line| line == expected), "{expected} is not in {env}");
    }
    assert_eq!(desk.read_home("umask"), "0022\n");
    assert_eq!(desk.read_home("cwd"), format!("{home}\n"));
    let status = desk.read_home("status");
    for mask in ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"] {
        assert!(status.contains(mask), "{status}");
    }
}

#[test]
fn the_agents_death_changes_nothing() {
    let desk = Desk::new();
    let spec = desk.spec(&["sleep", "1000"]);
    // The shell is the agent: the keeper's parent, at the other end of its pipes.
    let mut agent = std::process::Command::new("sh");
    agent.args(["-c", "\"$0\" keep; exit 0", KEEPER]);
    let mut kept = try_start_by(agent, &spec).unwrap();
    assert_ne!(kept.status.pid, kept.child.id());
    kept.child.kill().unwrap();
    kept.child.wait().unwrap();

    let before = kept.status.clone();
    assert!(kept.keeper_lives());
    assert!(lets_in(&before.rfb_socket, &before.full_password));
    for pid in [before.display_server_pid, before.command_pid] {
        assert!(abide_desktop::processes::descends(pid, before.pid));
    }
    let traces = kept.traces();
    kept.end("done");
    eventually("the keeper is gone", || !kept.keeper_lives());
    traces.assert_all_gone();
}

#[test]
fn what_cannot_start_says_at_which_step_and_leaves_nothing() {
    let desk = Desk::new();
    let fails =
        |change: &dyn Fn(&mut abide_wire::keeper::KeeperSpec), stage: &str, detail: &str| {
            let mut spec = desk.spec(&["sleep", "1000"]);
            change(&mut spec);
            let Err(failed) = try_start_by(keeper(), &spec) else { panic!("{stage}: it started") };
            assert_eq!(failed.stage, stage, "{}", failed.detail);
            assert!(failed.detail.contains(detail), "{:?} has no {detail:?}", failed.detail);
            assert!(fs::symlink_metadata(&spec.folder).is_err(), "the folder is left");
            assert_eq!(abide_desktop::processes::marked(&spec.session), [0; 0]);
        };
    let server = |program: &str| DisplayServer {
        program: program.into(),
        width: 640,
        height: 480,
        depth: 24,
    };
    fails(
        &|s| s.folder = format!("{}/{}", s.folder, "x".repeat(60)),
        "reading the request",
        "bytes too long",
    );
    fails(&|s| s.command[0] = "no-such-program".into(), "starting the desktop", "no-such-program");
    fails(&|s| s.command = vec!["/etc/passwd".into()], "starting the desktop", "Permission denied");
    fails(
        &|s| s.display_server = Some(server("/no/Xvnc")),
        "starting the display server",
        "No such file",
    );
    fails(
        &|s| s.display_server = Some(server("/bin/false")),
        "starting the display server",
        "it ended",
    );
    fails(
        &|s| s.display_server.as_mut().unwrap().depth = 9,
        "starting the display server",
        "it says:",
    );
    fails(&|s| s.folder = "/proc/abide/x".into(), "taking the session's folder", "No such file");
}

#[test]
fn a_session_is_kept_once() {
    let desk = Desk::new();
    let spec = desk.spec(&["sleep", "1000"]);
    let mut kept = start(&spec);
    let refused = |spec| match try_start_by(keeper(), spec) {
        Err(failed) => failed.detail,
        Ok(_) => panic!("it started"),
    };
    // The failed start must not clean up after the living one: hence no guard of its own.
    let spec_again = spec.clone();
    let second = std::process::Command::new(KEEPER)
        .arg("keep")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut second = second.unwrap();
    abide_wire::frame::write(&mut second.stdin.take().unwrap(), &spec_again).unwrap();
    let output = second.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("another keeper has the session"));
    assert!(lets_in(&kept.status.rfb_socket, &kept.status.full_password));

    kept.end("done");
    assert!(refused(&spec).contains("left its remains"));
}

#[test]
fn two_desktops_of_one_person_live_side_by_side() {
    let desk = Desk::new();
    let script = "echo \"$DBUS_SESSION_BUS_ADDRESS\" > ~/bus-$ABIDE_SESSION; exec sleep 1000";
    let start_one = || -> Kept {
        let mut spec = desk.spec(&["sh", "-c", script]);
        spec.plain = false;
        start(&spec)
    };
    let (mut one, mut two) = (start_one(), start_one());
    assert_ne!(one.status.display, two.status.display);
    let bus = |kept: &Kept| desk.read_home(&format!("bus-{}", kept.session));
    let (first, second) = (bus(&one), bus(&two));
    assert!(first.starts_with("unix:") && second.starts_with("unix:"), "{first} {second}");
    assert_ne!(first, second);

    let traces = one.traces();
    one.end("done");
    traces.assert_all_gone();
    assert!(lets_in(&two.status.rfb_socket, &two.status.full_password));
    two.traces().assert_all_there();
    let traces = two.traces();
    two.end("done");
    traces.assert_all_gone();
}

#[test]
fn two_xfce_desktops_of_one_person_come_up_and_go() {
    let desk = Desk::new();
    let start_one = || {
        let mut spec = desk.spec(&["xfce4-session"]);
        spec.plain = false;
        spec.grace_ms = 3000;
        start(&spec)
    };
    let mut both = [start_one(), start_one()];
    for kept in &both {
        let runs = |name: &str| {
            let all = abide_desktop::processes::descendants(kept.status.pid);
            let comm = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm"));
            all.iter().any(|pid| comm(pid).is_ok_and(|found| found.trim() == name))
        };
        eventually("window manager and panel run", || runs("xfwm4") && runs("xfce4-panel"));
    }
    for kept in &mut both {
        let traces = kept.traces();
        kept.end("done");
        traces.assert_all_gone();
    }
}

/// Where Linux 6.14 and later kill what clone3(2) starts in a cgroup.
#[test]
fn a_keeper_in_a_cgroup_that_was_killed_before_starts_sessions_in_theirs() {
    let desk = Desk::new();
    let spec = desk.spec(&["sleep", "1000"]);
    let Some(record) = CgroupRecord::plan(&format!("test-{}", spec.session)) else {
        return eprintln!("this host has no cgroup of version 2");
    };
    let Ok(outer) = record.make() else {
        return eprintln!("this host's cgroups cannot be written to");
    };
    let outer = Removed(outer);
    outer.0.kill().unwrap();
    record.write(&desk.path().join("outer")).unwrap();
    let mut command = std::process::Command::new("sh");
    let script = "echo 0 > \"$(cat \"$1\")/cgroup.procs\"; exec \"$0\" keep";
    command.args(["-c", script, KEEPER]).arg(desk.path().join("outer"));
    let mut kept = try_start_by(command, &spec).unwrap();

    let inner = CgroupRecord::read(&kept.folder.cgroup_record(), &kept.session).unwrap();
    let members = inner.find().unwrap().members();
    assert!(members.contains(&kept.status.display_server_pid), "{members:?}");
    assert!(members.contains(&kept.status.command_pid), "{members:?}");
    let traces = kept.traces();
    kept.end("done");
    traces.assert_all_gone();
}

/// A cgroup that is gone with this, with all that is in it.
struct Removed(Cgroup);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait_until_empty(std::time::Duration::from_secs(10));
        let _ = self.0.remove();
    }
}
