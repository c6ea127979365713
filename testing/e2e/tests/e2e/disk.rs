//! Disks that are damaged, and disks that are full.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use abide_api::{ProblemKind, SessionState, StartRequest, Want};
use abide_client::{CallError, WishKey};
use abide_cluster::Profile;
use abide_e2e::wait::until;

use crate::support::{Person, World, look, scene, scene_of};

/// All files below a folder, and what is in them.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => left.push(entry.path()),
                false => drop(found.insert(entry.path(), fs::read(entry.path()).unwrap())),
            }
        }
    }
    found
}

/// The SQLite databases among them (its file format's first 16 bytes).
fn databases(contents: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<PathBuf> {
    let begins = |bytes: &Vec<u8>| bytes.starts_with(b"SQLite format 3\0");
    contents.iter().filter(|(_, it)| begins(it)).map(|(path, _)| path.clone()).collect()
}

/// Overwrites a part of the file, and gives what was there.
fn damage(file: &Path, at: u64, length: usize) -> Vec<u8> {
    let open = OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut was = vec![0; length];
    open.read_exact_at(&mut was, at).unwrap();
    open.write_all_at(&vec![0xa5; length], at).unwrap();
    was
}

fn repair(file: &Path, at: u64, was: &[u8]) {
    OpenOptions::new().write(true).open(file).unwrap().write_all_at(was, at).unwrap();
}

/// Pages of 4,096 bytes: the head of the file, and the head of a table's first page.
const WOUNDS: [(u64, usize); 2] = [(0, 64), (4096, 512)];

#[tokio::test]
async fn a_damaged_database_is_named_and_left_as_it_is() {
    let mut world = World::start(1, Profile::plain()).await;
    let ada = world.person("ada").await;
    let session = ada.open().await.session;

    world.cluster.stop_broker(0);
    let folder = world.cluster.broker().dir.join("data");
    for database in databases(&contents(&folder)) {
        for (at, length) in WOUNDS {
            let was = damage(&database, at, length);
            let before = contents(&folder);
            let error = format!("{:#}", world.cluster.start_broker(0).await.unwrap_err());
            world.cluster.stop_broker(0);
            assert!(error.contains(database.to_str().unwrap()), "{error}");
            assert!(error.contains("damaged"), "{error}");
            assert!(contents(&folder) == before, "the broker changed its folder, wound at {at}");
            repair(&database, at, &was);
        }
    }
    world.cluster.start_broker(0).await.unwrap();

    world.cluster.stop_agent(0);
    let folder = world.cluster.agents()[0].dir.join("data");
    let all = databases(&contents(&folder));
    assert!(!all.is_empty(), "no ledger in {}", folder.display());
    for database in all {
        for (at, length) in WOUNDS {
            let was = damage(&database, at, length);
            let before = contents(&folder);
            world.cluster.start_agent(0).unwrap();
            let words = until("the agent refuses to start", async || {
                let words = world.cluster.agents()[0].last_words();
                words.contains("is damaged").then_some(words)
            });
            let words = words.await.unwrap();
            world.cluster.stop_agent(0);
            assert!(words.contains(database.to_str().unwrap()), "{words}");
            assert!(contents(&folder) == before, "the agent changed its folder, wound at {at}");
            repair(&database, at, &was);
            // What it says next time is judged by itself.
            fs::write(world.cluster.agents()[0].dir.join("agent.log"), "").unwrap();
        }
    }
    world.cluster.start_agent(0).unwrap();
    world.cluster.until_agents_are_heard(&world.admin).await.unwrap();
    let told = ada.only_session().await;
    assert_eq!((told.id, told.state), (session.id, SessionState::Running));
}

/// Puts a folder onto a file system of its own, seen by the server alone and gone with it.
const ON_A_SMALL_DISK: [&str; 5] = ["unshare", "--mount", "--propagation=private", "sh", "-c"];

/// `$0` is the folder, `$1` the size; the rest is the server.
const SMALL_DISK: &str = "set -e; mkdir \"$0.small\"; mount -t tmpfs -o size=\"$1\" tmpfs \"$0.small\"; \
     cp -a \"$0/.\" \"$0.small\"; mount --bind \"$0.small\" \"$0\"; shift; exec \"$@\"";

fn on_a_small_disk<'a>(folder: &'a str, size: &'a str) -> Vec<&'a str> {
    [&ON_A_SMALL_DISK[..], &[SMALL_DISK, folder, size]].concat()
}

/// Fills the disk that this process sees its folder on; gives the file that does.
fn fill(pid: u32, folder: &Path) -> PathBuf {
    let seen = PathBuf::from(format!("/proc/{pid}/root{}", folder.display()));
    let path = seen.join("filler");
    let mut file = fs::File::create(&path).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    path
}

async fn start(person: &Person) -> Result<String, CallError> {
    let request = StartRequest { profile: None, want: Want::Start };
    person.api.start(&request, &WishKey::random()).await.map(|it| it.session.id)
}

#[tokio::test]
async fn a_broker_whose_disk_is_full_starts_nothing_and_keeps_what_there_is() {
    let mut world = World::start(1, scene()).await;
    let ada = world.person("ada").await;
    world.cluster.stop_broker(0);
    let folder = world.cluster.broker().dir.join("data");
    let under = on_a_small_disk(folder.to_str().unwrap(), "256m");
    world.cluster.put_broker_under(0, &under);
    world.cluster.start_broker(0).await.unwrap();
    let old = ada.open().await.session;
    scene_of(&old.id).await;

    let filler = fill(world.cluster.broker().pid().unwrap(), &folder);
    let refused = start(&ada).await.unwrap_err();
    assert_eq!(refused.kind(), Some(ProblemKind::DiskFull), "{refused}");
    assert!(refused.to_string().contains("space"), "{refused}");
    look(&ada.connect(&old.id).await).await.longest_gap(10).await.unwrap();
    assert_eq!(ada.only_session().await.id, old.id);
    assert_eq!(world.cluster.agents()[0].session_folders(), std::slice::from_ref(&old.id));

    fs::remove_file(filler).unwrap();
    until("there is room, and a new session starts", async || start(&ada).await.ok())
        .await
        .unwrap();
}

#[tokio::test]
async fn an_agent_whose_disk_is_full_starts_nothing_and_keeps_what_there_is() {
    let mut world = World::start(1, scene()).await;
    let ada = world.person("ada").await;
    world.cluster.stop_agent(0);
    let folder = world.cluster.agents()[0].dir.join("data");
    let under = on_a_small_disk(folder.to_str().unwrap(), "256m");
    world.cluster.put_agent_under(0, &under);
    world.cluster.start_agent(0).unwrap();
    world.cluster.until_agents_are_heard(&world.admin).await.unwrap();
    let old = ada.open().await.session;
    scene_of(&old.id).await;

    let filler = fill(world.cluster.agents()[0].pid().unwrap(), &folder);
    let refused = start(&ada).await.unwrap_err();
    assert_eq!(refused.kind(), Some(ProblemKind::StartFailed), "{refused}");
    assert!(refused.to_string().contains("disk of this agent is full"), "{refused}");
    assert_eq!(world.cluster.agents()[0].session_folders(), std::slice::from_ref(&old.id));
    let told = world.told(&old.id).await.unwrap();
    assert_eq!((told.state, told.reachable), (SessionState::Running, true));

    fs::remove_file(filler).unwrap();
    look(&ada.connect(&old.id).await).await.longest_gap(10).await.unwrap();
    start(&ada).await.unwrap();
}
