//! Nothing of a cluster stays, however it ends.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use abide_api::{StartRequest, Want};
use abide_client::WishKey;
use abide_cluster::{Cluster, Options, until};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(30);
/// Set for the process that owns a cluster and is killed.
const OWNER: &str = "ABIDE_TEST_OWNER";

/// A cluster with one session, and what of it is to be gone later.
async fn with_a_session() -> (Cluster, Value) {
    let options = Options { agents: 1, ..Options::new().unwrap() };
    let cluster = Cluster::start(options).await.unwrap();
    let user = cluster.add_user("ada").unwrap();
    let api = cluster.log_in(&user).await.unwrap();
    let request = StartRequest { profile: None, want: Want::Start };
    let session = api.start(&request, &WishKey::random()).await.unwrap().session;
    let agent = &cluster.agents()[0];
    let keeper = agent.keeper(&session.id).unwrap();
    let mut pids = agent.session_processes(&session.id);
    pids.extend([agent.pid(), cluster.broker().pid()].into_iter().flatten());
    assert!(pids.contains(&keeper.display_server_pid));
    let dir = cluster.dir().to_owned();
    let (display, server) = (keeper.display, keeper.display_server_pid);
    (cluster, json!({ "dir": dir, "pids": pids, "display": display, "server": server }))
}

/// The files of this display server. Whichever server comes next may get its number: the lock, which is made
/// before the socket and removed after it, says whose they are.
fn display_files(display: &Value, server: &Value) -> Vec<String> {
    let lock = format!("/tmp/.X{display}-lock");
    let owner = std::fs::read_to_string(&lock).ok();
    match owner.and_then(|pid| pid.trim().parse::<u32>().ok()) {
        Some(pid) if *server != pid => Vec::new(),
        _ => vec![format!("/tmp/.X11-unix/X{display}"), lock],
    }
}

/// What is still there.
fn left(things: &Value) -> Vec<String> {
    let pids = things["pids"].as_array().unwrap().iter().map(|pid| format!("/proc/{pid}/exe"));
    let x = display_files(&things["display"], &things["server"]);
    let dir = things["dir"].as_str().unwrap().to_owned();
    // A zombie has no program any more.
    let there = |path: &String| Path::new(path).read_link().is_ok() || Path::new(path).exists();
    pids.chain(x).chain([dir]).filter(there).collect()
}

#[tokio::test]
async fn a_dropped_cluster_leaves_no_process_and_no_file() {
    let (cluster, things) = with_a_session().await;
    assert!(left(&things).len() >= 6, "{:?}", left(&things));
    drop(cluster);
    assert_eq!(left(&things), [""; 0]);
}

#[test]
fn another_display_server_of_the_same_number_is_no_leftover() {
    // Above what display servers choose by themselves.
    let display = 10_000 + std::process::id() % 10_000;
    let lock = PathBuf::from(format!("/tmp/.X{display}-lock"));
    let things = |server: u32| json!({ "dir": "/nonexistent", "pids": [], "display": display, "server": server });
    std::fs::write(&lock, format!("{:>10}\n", 7)).unwrap();
    let (own, others) = (left(&things(7)), left(&things(8)));
    std::fs::remove_file(&lock).unwrap();
    assert_eq!((own, others.len()), (vec![lock.to_str().unwrap().to_owned()], 0));
}

#[tokio::test]
async fn a_folder_that_holds_something_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine"), "").unwrap();
    let dir = Some(PathBuf::from(folder.path()));
    let options = Options { dir, ..Options::new().unwrap() };
    assert!(Cluster::start(options).await.is_err());
    assert!(folder.path().join("mine").exists());
}

/// Not a promise: what the next test starts and kills.
#[tokio::test]
async fn owner() {
    if std::env::var_os(OWNER).is_none() {
        return;
    }
    let (_cluster, things) = with_a_session().await;
    println!("\n{OWNER} {things}");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_cluster_whose_owner_was_killed_leaves_no_process_and_no_file() {
    let mut owner = Command::new(std::env::current_exe().unwrap());
    owner.args(["leftovers::owner", "--exact", "--nocapture"]).env(OWNER, "yes");
    let mut owner = owner.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(owner.stdout.take().unwrap()).lines();
    let things = said.map_while(Result::ok).find_map(|line| {
        let things = line.strip_prefix(OWNER)?.to_owned();
        serde_json::from_str::<Value>(&things).ok()
    });
    owner.kill().unwrap();
    owner.wait().unwrap();
    let things = things.expect("the owner failed before it was killed");
    until("everything is gone", DEADLINE, async || left(&things).is_empty().then_some(()))
        .await
        .unwrap_or_else(|error| panic!("{error}; left: {:?}", left(&things)));
}
