//! Pacemaker's resource agent. What `crm_mon` 2.1.5 says stands in `seen/`.

use std::path::Path;
use std::process::Command;

use super::script;
use super::stage::{Came, Stage};

const FENCED: &str = include_str!("seen/fenced.xml");
const UNCLEAN: &str = include_str!("seen/unclean.xml");
const RUNNING: &str = include_str!("seen/running.xml");
const STOPPED: &str = include_str!("seen/stopped.xml");
/// It has just come, and nobody has looked yet what runs there; and while somebody looks.
const UNPROBED: &str = include_str!("seen/unprobed.xml");
const PROBING: &str = include_str!("seen/probing.xml");

const ACTIVE: &str = "0 leader active generation 1, peer answers";
const PASSIVE: &str = "10 follower passive generation 1, peer answers";

fn act(stage: &Stage, action: &str) -> Came {
    act_with(stage, action, &[])
}

fn act_with(stage: &Stage, action: &str, environment: &[(&str, &str)]) -> Came {
    let mut command = stage.command(&script("pacemaker/abide"), &[action]);
    command.envs(environment.iter().copied());
    stage.came(&command.output().unwrap())
}

/// Without the looks at how it stands.
fn done(came: Came) -> (i32, Vec<String>) {
    (came.code, came.calls.into_iter().filter(|call| call != "abide status").collect())
}

fn calls(calls: &[&str]) -> Vec<String> {
    calls.iter().map(ToString::to_string).collect()
}

#[test]
fn its_life_is_that_of_a_promotable_clone() {
    let stage = Stage::new();
    stage.put("seen", RUNNING);
    for (action, code) in [
        ("validate-all", 0),
        ("monitor", 7),
        ("start", 0),
        ("start", 0),
        ("monitor", 0),
        ("demote", 0),
        ("promote", 0),
        ("promote", 0),
        ("monitor", 8),
        ("demote", 0),
        ("demote", 0),
        ("monitor", 0),
        ("promote", 0),
        ("demote", 0),
        ("stop", 0),
        ("stop", 0),
        ("monitor", 7),
        ("notify", 0),
    ] {
        let came = act(&stage, action);
        assert_eq!(came.code, code, "{action}: {came:?}");
    }
}

#[test]
fn a_start_leaves_no_order_from_before() {
    let stage = Stage::new();
    stage.put("active", "");
    assert_eq!(
        done(act(&stage, "start")),
        (
            0,
            calls(&[
                "systemctl start abide-broker.service",
                "abide release --timeout 5",
                "score -v 100"
            ])
        )
    );
    assert!(!stage.has("active"));
}

#[test]
fn a_monitor_tells_the_roles_apart_and_scores_them() {
    let cases: [(&str, i32, &[&str]); 8] = [
        (PASSIVE, 0, &["score -v 100"]),
        ("0 leader passive generation 1, peer answers", 0, &["score -v 150"]),
        ("11 learner passive generation 1, peer answers", 0, &["score -D"]),
        ("12 no-quorum passive generation 1, peer does not answer", 0, &["score -v 10"]),
        ("13 stale passive generation 0, peer does not answer; why", 0, &["score -D"]),
        (ACTIVE, 8, &["abide activate --timeout 3", "score -v 1000"]),
        ("10 follower active generation 1", 8, &["abide activate --timeout 3", "score -v 1000"]),
        ("12 the broker runs, and has not answered in time", 1, &[]),
    ];
    for (status, code, expected) in cases {
        let stage = Stage::new();
        stage.runs(false);
        stage.answers("status", &[status]);
        assert_eq!(done(act(&stage, "monitor")), (code, calls(expected)), "{status}");
    }
    // A probe only looks.
    for (status, code) in [(PASSIVE, 0), (ACTIVE, 8)] {
        let stage = Stage::new();
        stage.answers("status", &[status]);
        let probe = [("OCF_RESKEY_CRM_meta_interval", "0")];
        assert_eq!(done(act_with(&stage, "monitor", &probe)), (code, calls(&[])), "{status}");
    }
}

#[test]
fn a_broker_that_systemd_starts_again_has_not_failed() {
    let stage = Stage::new();
    stage.runs(true);
    stage.answers("status", &["14 down", "14 down", ACTIVE]);
    assert_eq!(act(&stage, "monitor").code, 8);
    stage.answers("status", &["14 down"]);
    assert_eq!(act(&stage, "monitor").code, 1, "it runs, and nobody answers");
    std::fs::remove_file(stage.path("runs")).unwrap();
    assert_eq!(act(&stage, "monitor").code, 7);
}

#[test]
fn a_promoted_one_that_waits_has_not_failed_and_one_that_is_refused_has() {
    for (answer, code, score) in [
        ("12 late", 191, None),
        ("15 unproven", 191, None),
        ("11 learner", 191, None),
        ("13 stale", 9, Some("score -D")),
        ("1 failed", 9, Some("score -D")),
    ] {
        let stage = Stage::new();
        stage.put("seen", UNCLEAN);
        stage.answers("status", &[ACTIVE]);
        stage.answers("activate", &[answer]);
        let expected: Vec<_> = ["abide activate --timeout 3"].into_iter().chain(score).collect();
        assert_eq!(done(act(&stage, "monitor")), (code, calls(&expected)), "{answer}");
    }
}

#[test]
fn only_what_pacemaker_knows_for_sure_is_passed_on_as_proof() {
    let unfenced = FENCED.replace("stonith-enabled=\"true\"", "stonith-enabled=\"false\"");
    let third = "<node name=\"host3\" id=\"3\" online=\"true\" unclean=\"false\"/>\n  </nodes>";
    let three = FENCED.replace("</nodes>", third);
    let nodes = [("OCF_RESKEY_nodes", "host1 host2")];
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], bool);
    let cases: [Case<'_>; 9] = [
        ("fenced", FENCED, &[], true),
        ("lost, and nobody can fence", &unfenced, &[], false),
        ("lost, and not fenced yet", UNCLEAN, &[], false),
        ("runs", RUNNING, &[], false),
        ("stopped", STOPPED, &[], true),
        ("just come", UNPROBED, &[], false),
        ("being looked at", PROBING, &[], false),
        ("one of three, whichever", &three, &[], false),
        ("one of three, named", &three, &nodes, true),
    ];
    for (name, seen, environment, is_proof) in cases {
        let stage = Stage::new();
        stage.put("seen", seen);
        stage.runs(true);
        stage.answers("activate", &["15 unproven", "0 serves"]);
        let (code, done) = done(act_with(&stage, "monitor", environment));
        let proof = "abide activate --timeout 3 --peer-is-down".to_owned();
        assert_eq!((code == 8, done.contains(&proof)), (is_proof, is_proof), "{name}: {done:?}");

        stage.answers("activate", &["0 serves"]);
        let (code, done) = done_of(&stage, "promote", environment);
        let more = if is_proof { " --peer-is-down" } else { "" };
        let mut expected = vec![format!("abide activate --timeout 25{more}")];
        // A score that changes would keep the address waiting.
        if !is_proof {
            expected.push("score -v 1000".to_owned());
        }
        assert_eq!((code, done), (0, expected), "{name}");
    }
    // Nobody to ask.
    let stage = Stage::new();
    stage.answers("activate", &["0 serves"]);
    assert_eq!(done(act(&stage, "promote")).1[0], "abide activate --timeout 25");
}

fn done_of(stage: &Stage, action: &str, environment: &[(&str, &str)]) -> (i32, Vec<String>) {
    done(act_with(stage, action, environment))
}

#[test]
fn a_promotion_or_demotion_fails_for_a_reason_and_in_time() {
    let short = [("OCF_RESKEY_CRM_meta_timeout", "20000")];
    for (answer, code) in
        [("0 serves", 0), ("12 late", 1), ("15 unproven", 1), ("13 stale", 1), ("14 down", 7)]
    {
        let stage = Stage::new();
        stage.answers("activate", &[answer]);
        let (found, done) = done_of(&stage, "promote", &short);
        assert_eq!((found, done[0].as_str()), (code, "abide activate --timeout 15"), "{answer}");
    }
    for (answer, code) in [("0 released", 0), ("1 cannot write", 1), ("14 down", 7)] {
        let stage = Stage::new();
        stage.answers("release", &[answer]);
        let expected = calls(&["abide release --timeout 5"]);
        assert_eq!(done_of(&stage, "demote", &short), (code, expected), "{answer}");
    }
}

#[test]
fn the_peers_end_is_passed_on_when_pacemaker_tells_of_it() {
    let told = |operation| {
        [
            ("OCF_RESKEY_CRM_meta_notify_type", "post"),
            ("OCF_RESKEY_CRM_meta_notify_operation", operation),
        ]
    };
    let stage = Stage::new();
    stage.put("seen", FENCED);
    stage.runs(true);
    let (code, done) = done_of(&stage, "notify", &told("stop"));
    assert_eq!((code, done), (0, calls(&["abide activate --timeout 3 --peer-is-down"])));
    // Who is not promoted has nothing to go on with.
    std::fs::remove_file(stage.path("active")).unwrap();
    assert_eq!(done_of(&stage, "notify", &told("stop")), (0, calls(&[])));
    assert_eq!(done_of(&stage, "notify", &told("start")), (0, calls(&["score -v 100"])));
    // Nor is the one that is left told to be worse than it was.
    stage.answers("status", &["12 no-quorum passive generation 1, peer does not answer"]);
    assert_eq!(done_of(&stage, "notify", &told("demote")), (0, calls(&[])));
    // One that is promoted next is not kept from it by looking.
    for (promoted, looks) in [("host1", 0), ("host2 host1", 0), ("host2", 1), ("host", 1)] {
        stage.answers("status", &["10 follower passive generation 1, peer answers"]);
        let mut words = told("demote").to_vec();
        words.extend([
            ("OCF_RESKEY_CRM_meta_on_node", "host1"),
            ("OCF_RESKEY_CRM_meta_notify_promote_uname", promoted),
        ]);
        let (code, done) = done_of(&stage, "notify", &words);
        assert_eq!((code, done.len()), (0, looks), "{promoted} is promoted next");
    }
    // It must not fail.
    stage.answers("status", &["14 down"]);
    assert_eq!(done_of(&stage, "notify", &told("stop")).0, 0);
}

#[test]
fn a_broker_that_stands_still_is_not_waited_for() {
    let stage = Stage::new();
    stage.runs(true);
    let still = "12 the broker runs, and has not answered in time";
    stage.answers("status", &[still, "14 down"]);
    let stopped =
        ["kill --signal=KILL", "stop"].map(|it| format!("systemctl {it} abide-broker.service"));
    let score = "score -D".to_owned();
    let expected: Vec<_> = stopped.into_iter().chain([score]).collect();
    assert_eq!(done(act(&stage, "stop")), (0, expected));
}

#[test]
fn a_stop_that_is_none_fails_and_a_host_without_a_pair_runs_nothing() {
    let stage = Stage::new();
    stage.answers("status", &[PASSIVE]);
    assert_eq!(act(&stage, "stop").code, 1, "somebody started a broker by hand");

    let stage = Stage::new();
    stage.put("broker.toml", "public_url = 'https://host1'\n");
    let probe = [("OCF_RESKEY_CRM_meta_interval", "0")];
    assert_eq!(act(&stage, "validate-all").code, 6);
    assert_eq!(act(&stage, "start").code, 6);
    assert_eq!(act(&stage, "stop").code, 0);
    assert_eq!(act_with(&stage, "monitor", &probe).code, 7);
    let elsewhere = [("OCF_RESKEY_config", "/nonexistent")];
    assert_eq!(act_with(&stage, "validate-all", &elsewhere).code, 5);
    assert_eq!(act(&stage, "reload").code, 3);
    assert_eq!(stage.run(&script("pacemaker/abide"), &[]).code, 2);
}

#[test]
fn what_it_says_of_itself_names_every_action_and_parameter() {
    let stage = Stage::new();
    // Also where nothing is configured.
    stage.put("broker.toml", "");
    let said = act(&stage, "meta-data").said;
    for name in ["start", "stop", "promote", "demote", "notify", "validate-all", "meta-data"] {
        assert!(said.contains(&format!("<action name=\"{name}\" ")), "{name}");
    }
    for role in ["Promoted", "Unpromoted"] {
        assert!(said.contains(&format!("<action name=\"monitor\" role=\"{role}\" ")), "{role}");
    }
    for name in ["config", "unit", "nodes"] {
        assert!(said.contains(&format!("<parameter name=\"{name}\" ")), "{name}");
    }
}

#[test]
fn the_testers_of_resource_agents_find_nothing() {
    if !Path::new("/usr/lib/ocf/lib/heartbeat/ocf-shellfuncs").exists() {
        return println!("not checked: there are no resource-agents here");
    }
    let stage = Stage::new();
    stage.put("seen", RUNNING);
    let agent = script("pacemaker/abide");
    let config = format!("config={}", stage.path("broker.toml").display());
    let arguments = ["-n", "abide", "-o", &config, agent.to_str().unwrap()];
    let mut tester: Command = stage.command(Path::new("/usr/sbin/ocf-tester"), &arguments);
    let tester = tester.env_remove("OCF_FUNCTIONS_DIR").output().unwrap();
    let said = String::from_utf8_lossy(&tester.stdout);
    assert!(tester.status.success(), "{said}");
}
