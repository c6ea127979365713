//! keepalived's notify and track scripts.

use super::script;
use super::stage::{Came, Running, Stage};

fn notify(stage: &Stage, state: &str) -> Came {
    stage.run(&script("keepalived/notify"), &["INSTANCE", "VI_1", state, "100"])
}

#[test]
fn the_master_is_activated_once_a_broker_takes_the_order() {
    let activate = "abide activate --timeout 10".to_owned();
    for (answers, code, calls) in [
        (&["0 serves"][..], 0, 1),
        (&["14 down", "14 down", "0 serves"], 0, 3),
        // The order stands.
        (&["12 late", "0 serves"], 0, 1),
        (&["11 learner", "0 serves"], 0, 1),
        (&["13 stale"], 1, 1),
        (&["15 unproven"], 1, 1),
        (&["1 none of a pair"], 1, 1),
    ] {
        let stage = Stage::new();
        stage.answers("activate", answers);
        let came = notify(&stage, "MASTER");
        assert_eq!((came.code, came.calls), (code, vec![activate.clone(); calls]), "{answers:?}");
    }
}

#[test]
fn whoever_is_not_master_is_released() {
    for state in ["BACKUP", "FAULT", "STOP"] {
        for (answer, code) in [("0 released", 0), ("14 down", 0), ("1 cannot write", 1)] {
            let stage = Stage::new();
            stage.answers("release", &[answer]);
            let came = notify(&stage, state);
            let calls = vec!["abide release --timeout 10".to_owned()];
            assert_eq!((came.code, came.calls), (code, calls), "{state}, {answer}");
        }
    }
}

#[test]
fn a_newer_state_ends_what_an_older_one_repeats() {
    let stage = Stage::new();
    stage.answers("activate", &["14 down"]);
    stage.answers("release", &["0 released"]);
    let arguments = ["INSTANCE", "VI_1", "MASTER"];
    let mut master = Running::begin(stage.command(&script("keepalived/notify"), &arguments));
    while !stage.has("calls") {
        assert!(!master.has_ended(), "it repeats until somebody answers");
        std::thread::yield_now();
    }
    assert_eq!(notify(&stage, "BACKUP").code, 0);
    assert_eq!(master.end(), 0);
    // Another instance's state is its own.
    assert_eq!(stage.run(&script("keepalived/notify"), &["GROUP", "G", "FAULT", "0"]).code, 0);
    assert!(stage.has("states/VI_1") && stage.has("states/G"));
}

#[test]
fn what_keepalived_never_says_is_refused_and_does_nothing() {
    let stage = Stage::new();
    for arguments in [
        &["INSTANCE", "VI_1"][..],
        &["INSTANCE", "VI_1", "PRIMARY"],
        &["INSTANCE", "../x", "MASTER"],
        &["INSTANCE", "", "MASTER"],
    ] {
        let came = stage.run(&script("keepalived/notify"), arguments);
        assert_eq!((came.code, came.calls.len()), (2, 0), "{arguments:?}");
    }
}

#[test]
fn only_who_could_serve_may_be_master() {
    for (answer, may) in [
        ("0 leader", true),
        ("10 follower", true),
        ("12 no-quorum", true),
        ("11 learner", false),
        ("13 stale", false),
        ("14 down", false),
        ("1 failed", false),
        ("2 usage", false),
    ] {
        let stage = Stage::new();
        stage.answers("status", &[answer]);
        let came = stage.run(&script("keepalived/track"), &[]);
        assert_eq!((came.code == 0, came.said.as_str()), (may, ""), "{answer}");
    }
}
