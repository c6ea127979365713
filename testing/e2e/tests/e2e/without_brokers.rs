//! Every broker is dead. Whoever was in a desktop from this computer gets back in, by the pass that it
//! keeps.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use abide_cluster::Options;
use abide_e2e::rfb::Rfb;
use abide_e2e::scene::RATE;
use abide_e2e::wait::{SOON, until};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::time::timeout;

use crate::command_line::CommandLine;
use crate::support::{World, scene, scene_of};

/// What no broker answering is told by.
const NO_ANSWER: i32 = 4;

#[tokio::test]
async fn a_new_abide_connect_gets_in_by_its_pass_while_every_broker_is_down() {
    let options = Options { brokers: 3, agents: 1, ..Options::new().unwrap() };
    let mut world = World::with(Options { profiles: vec![scene()], ..options }).await;
    let ada = world.person("ada").await;
    let line = CommandLine::of(&world, &ada).await;
    let socket = |name: &str| line.home.path().join(name);
    let connect = |socket: &Path| {
        let mut connect = line.abide(&["connect", "--socket"]);
        connect.arg(socket).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };

    let first = connect(&socket("first"));
    drop(watch(&socket("first")).await);
    let session = ada.only_session().await;
    scene_of(&session.id).await;
    let kept = kept(&line, &session.id);
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    for broker in 0..3 {
        world.cluster.kill_broker(broker);
    }
    drop(watch(&socket("first")).await);

    // Two on one pass would take the line from each other for ever.
    let refused = output(connect(&socket("second"))).await;
    assert_eq!(refused.status.code(), Some(NO_ANSWER), "{refused:?}");
    assert!(said(&refused).contains("is open on this computer already"), "{refused:?}");
    let first = stop(first).await;
    assert!(first.status.success(), "{first:?}");

    let third = connect(&socket("third"));
    drop(watch(&socket("third")).await);
    let third = stop(third).await;
    assert!(third.status.success(), "{third:?}");
    assert!(said(&third).contains("No broker answers. This computer keeps a pass"), "{third:?}");
    let file: serde_json::Value = serde_json::from_slice(&std::fs::read(&kept).unwrap()).unwrap();
    let pass = file["pass"].as_str().unwrap();
    assert!(pass.len() > 30);
    for output in [&first, &refused, &third] {
        assert!(!said(output).contains(pass));
    }
}

#[tokio::test]
async fn the_pass_of_an_ended_session_is_forgotten() {
    let world = World::start(1, scene()).await;
    let ada = world.person("ada").await;
    let line = CommandLine::of(&world, &ada).await;
    let socket = line.home.path().join("socket");
    let mut connect = line.abide(&["connect", "--socket"]);
    connect.arg(&socket).stdout(Stdio::piped()).stderr(Stdio::piped());
    let connect = connect.spawn().unwrap();
    let _viewer = watch(&socket).await;
    let session = ada.only_session().await;
    let kept = kept(&line, &session.id);
    assert!(kept.exists());
    ada.api.end(&session.id).await.unwrap();
    let ended = output(connect).await;
    assert!(ended.status.success() && said(&ended).contains("has ended"), "{ended:?}");
    assert!(!kept.exists());
}

/// Where the pass of a session lies.
fn kept(line: &CommandLine, session: &str) -> PathBuf {
    line.home.path().join(format!(".local/state/abide/passes/{session}.json"))
}

/// Waits for the socket, and watches the desktop there for a second; the viewer leaves with its drop.
async fn watch(socket: &Path) -> Rfb {
    until("the socket is served", async || socket.exists().then_some(())).await.unwrap();
    let mut viewer = Rfb::at_socket(socket).await.unwrap();
    viewer.longest_gap(RATE).await.unwrap();
    viewer
}

async fn stop(child: Child) -> Output {
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    output(child).await
}

async fn output(child: Child) -> Output {
    timeout(SOON, child.wait_with_output()).await.unwrap().unwrap()
}

/// All that it wrote.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}
