//! How sessions end, and that nothing is left of them.

use std::process::Command;

use abide_desktop::{CleanUpError, Found, clean_up, processes};
use abide_wire::keeper::session_ended::Cause;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::desk::{Desk, Kept, eventually, keeper, keeper_without_cgroup, start, try_start_by};

/// Leaves a program behind that is nobody's child and hears no SIGTERM, says so, and stays.
const STUBBORN: &str = "trap '' TERM; \
    (setsid sh -c 'setsid sleep 1000 & echo $! > ~/stubborn' &); \
    exec sleep 1000";

fn stubborn(desk: &Desk, by: Command) -> Kept {
    let kept = try_start_by(by, &desk.spec(&["sh", "-c", STUBBORN])).unwrap();
    let pid: u32 = desk.read_home("stubborn").trim().parse().unwrap();
    eventually("it is its own", || processes::descends(pid, kept.status.pid));
    kept
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(number as i32)
}

#[test]
fn the_end_reaches_what_forks_away_and_ignores_sigterm() {
    for by in [keeper, keeper_without_cgroup] {
        let desk = Desk::new();
        let mut kept = stubborn(&desk, by());
        let traces = kept.traces();
        let ended = kept.end("an operator asked");
        assert_eq!((ended.cause(), ended.detail.as_str()), (Cause::Asked, "an operator asked"));
        traces.assert_all_gone();
        let Found::Gone { ended: Some(_) } = kept.folder.look().unwrap() else { panic!() };
        clean_up(&kept.folder, &kept.session).unwrap();
        assert_eq!(kept.folder.look().unwrap(), Found::Missing);
    }
}

#[test]
fn after_a_killed_keeper_cleaning_up_leaves_nothing() {
    for (by, cgroup) in [(keeper as fn() -> Command, true), (keeper_without_cgroup, false)] {
        let desk = Desk::new();
        let mut kept = stubborn(&desk, by());
        let traces = kept.traces();
        // Where the host has none, both rounds go without.
        assert!(cgroup || !traces.has_cgroup());
        assert!(matches!(clean_up(&kept.folder, &kept.session), Err(CleanUpError::Alive)));
        traces.assert_all_there();

        kept.child.kill().unwrap();
        kept.child.wait().unwrap();
        assert_eq!(kept.folder.look().unwrap(), Found::Gone { ended: None });
        let (server, command) = (kept.status.display_server_pid, kept.status.command_pid);
        eventually("display server and desktop died with it", || {
            [server, command].iter().all(|pid| processes::start_ticks(*pid).is_none())
        });
        clean_up(&kept.folder, &kept.session).unwrap();
        traces.assert_all_gone();
        assert_eq!(kept.folder.look().unwrap(), Found::Missing);
        clean_up(&kept.folder, &kept.session).unwrap();
    }
}

#[test]
fn each_end_is_recorded_with_its_cause() {
    let desk = Desk::new();

    // It waits for a word, so that it is not over before somebody listens.
    let script = "until [ -e ~/go ]; do sleep 0.02; done; exit 3";
    let mut kept = start(&desk.spec(&["sh", "-c", script]));
    let (control, traces) = (kept.control(), kept.traces());
    std::fs::write(desk.home().join("go"), "").unwrap();
    let ended = kept.wait_for_end(control);
    assert_eq!(ended.detail, "exit status 3");
    assert_eq!(ended.cause(), Cause::CommandExited);
    traces.assert_all_gone();

    let mut kept = start(&desk.spec(&["sleep", "1000"]));
    let (control, traces) = (kept.control(), kept.traces());
    kill(pid(kept.status.display_server_pid), Signal::SIGKILL).unwrap();
    let ended = kept.wait_for_end(control);
    assert_eq!(ended.cause(), Cause::DisplayServerExited);
    assert_eq!(ended.detail, "signal SIGKILL");
    traces.assert_all_gone();

    let mut kept = start(&desk.spec(&["sleep", "1000"]));
    let (control, traces) = (kept.control(), kept.traces());
    kill(pid(kept.status.pid), Signal::SIGTERM).unwrap();
    assert_eq!(kept.wait_for_end(control).cause(), Cause::Signalled);
    traces.assert_all_gone();
}

#[test]
fn a_program_has_its_grace_to_save_what_it_has() {
    let desk = Desk::new();
    let script = "trap 'xdpyinfo > ~/saved; exit' TERM; \
                  sh -c 'echo ready > ~/ready; exec sleep 1000' & wait";
    let mut spec = desk.spec(&["sh", "-c", script]);
    spec.grace_ms = 20_000;
    let mut kept = start(&spec);
    desk.read_home("ready");
    let before = std::time::Instant::now();
    kept.end("done");
    assert!(desk.read_home("saved").contains("name of display"), "the display was still there");
    assert!(before.elapsed().as_secs() < 15, "nobody waits for those that are gone");
}
