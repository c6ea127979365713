//! Heartbeat's resource script.

use super::script;
use super::stage::{Came, Stage};

fn run(stage: &Stage, action: &str) -> Came {
    let config = stage.path("broker.toml");
    stage.run(&script("heartbeat/abide"), &[config.to_str().unwrap(), action])
}

#[test]
fn start_makes_this_host_serve_or_fails_for_a_reason() {
    let activate = "abide activate --timeout 10";
    let start = "systemctl start abide-broker.service";
    let cases: [(&[&str], i32, &[&str]); 8] = [
        (&["0 serves"], 0, &[activate]),
        (&["12 late", "0 serves"], 0, &[activate, activate]),
        (&["11 learner", "12 late", "0 serves"], 0, &[activate, activate, activate]),
        (&["14 down", "14 down", "0 serves"], 0, &[activate, start, activate, start, activate]),
        (&["13 stale"], 1, &[activate]),
        (&["15 unproven"], 1, &[activate]),
        (&["1 none of a pair"], 1, &[activate]),
        (&["2 usage"], 1, &[activate]),
    ];
    for (answers, code, calls) in cases {
        let stage = Stage::new();
        stage.answers("activate", answers);
        let came = run(&stage, "start");
        assert_eq!(
            (came.code, came.calls),
            (code, calls.iter().map(ToString::to_string).collect())
        );
    }
    let stage = Stage::new();
    stage.answers("activate", &["12 late"]);
    let came = run(&stage, "start");
    assert_eq!((came.code, came.calls.len()), (1, 6), "a minute, by the clock");
}

#[test]
fn stop_never_fails_for_want_of_an_answer() {
    let release = "abide release --timeout 10";
    let stop = "systemctl stop abide-broker.service";
    let cases: [(&str, &[&str]); 4] = [
        ("0 released", &[release]),
        ("14 down", &[release]),
        ("1 cannot write", &[release, stop]),
        ("12 no answer", &[release, stop]),
    ];
    for (answer, calls) in cases {
        let stage = Stage::new();
        stage.runs(true);
        stage.answers("release", &[answer]);
        let came = run(&stage, "stop");
        assert_eq!((came.code, came.calls), (0, calls.iter().map(ToString::to_string).collect()));
    }
}

#[test]
fn status_says_whether_this_host_was_activated_in_heartbeats_words() {
    let cases = [
        ("0 leader active generation 3, peer answers", true),
        ("10 follower active generation 3, peer answers", true),
        ("12 no-quorum active generation 3, peer does not answer", true),
        ("0 leader passive generation 3, peer answers", false),
        ("13 stale passive generation 0, peer does not answer; why", false),
        ("14 down: no broker runs here", false),
        ("12 the broker runs, and has not answered in time", false),
    ];
    for (answer, runs) in cases {
        let stage = Stage::new();
        stage.answers("status", &[answer]);
        let came = run(&stage, "status");
        let (said, code) = if runs { ("running", 0) } else { ("stopped", 3) };
        assert_eq!((came.said.trim(), came.code), (said, code), "{answer}");
    }
}

#[test]
fn what_heartbeat_never_says_is_refused_and_does_nothing() {
    let stage = Stage::new();
    for arguments in [&[][..], &["restart"], &["a", "b", "start"], &["a", "restart"]] {
        let came = stage.run(&script("heartbeat/abide"), arguments);
        assert_eq!((came.code, came.calls.len()), (2, 0), "{arguments:?}");
    }
}
