//! Damaged files, full disks, failing writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::{Fault, OpenError, ProposeError, ReadError, Reserve};

/// All files of a folder, but the lock.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.ends_with("lock"))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

fn copy_of(files: &BTreeMap<PathBuf, Vec<u8>>) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (path, bytes) in files {
        fs::write(folder.path().join(path.file_name().unwrap()), bytes).unwrap();
    }
    folder
}

/// A folder with a snapshot, entries in the database and in its write-ahead log, as after a SIGKILL.
async fn as_after_a_kill() -> (BTreeMap<PathBuf, Vec<u8>>, Table) {
    let folder = TempDir::new().unwrap();
    let raft = start(folder.path()).await;
    for key in 0..60 {
        if key == 45 {
            raft.save().await.unwrap();
        }
        raft.propose(put(key, vec![key as u8; 900])).await.unwrap();
    }
    raft.stop().await.unwrap();
    let raft = start(folder.path()).await;
    for key in 60..70 {
        raft.propose(put(key, vec![key as u8; 900])).await.unwrap();
    }
    let table = Table::clone(&*raft.read().await.unwrap());
    let files = contents(folder.path());
    raft.stop().await.unwrap();
    let names: Vec<_> = files.keys().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(names, ["raft.db", "raft.db-wal", "snapshot"]);
    (files, table)
}

/// Where the last whole transaction of a write-ahead log begins. The copy may have cut off another, which the
/// engine writes when it has nothing else to do.
fn last_transaction(wal: &[u8]) -> usize {
    let frames = wal[32..].chunks_exact(24 + 4096).enumerate();
    let is_commit = |frame: &[u8]| frame[4..8] != [0; 4];
    let ends = frames.filter(|(_, frame)| is_commit(frame)).map(|(n, _)| 32 + (n + 1) * 4120);
    let ends: Vec<_> = ends.collect();
    ends[ends.len() - 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_anywhere_is_refused_by_name_or_harms_nothing() {
    let (files, table) = as_after_a_kill().await;
    let mut refused = 0;
    for (path, sound) in &files {
        let is_wal = path.to_string_lossy().ends_with("-wal");
        // The last transaction of the write-ahead log looks like one torn by a crash.
        let end = if is_wal { last_transaction(sound) } else { sound.len() };
        for offset in (0..end).step_by(end / 150) {
            let folder = copy_of(&files);
            let file = folder.path().join(path.file_name().unwrap());
            let mut damaged = sound.clone();
            damaged[offset] ^= 0x5a;
            fs::write(&file, damaged).unwrap();
            let before = contents(folder.path());
            match Raft::start(Table::default(), alone(folder.path(), Settings::default())).await {
                Ok(raft) => {
                    serving(&raft).await;
                    let now = raft.read().await.unwrap();
                    assert_eq!(*now, table, "byte {offset} of {}", file.display());
                    raft.stop().await.unwrap();
                }
                Err(cause) => {
                    refused += 1;
                    let said = cause.to_string();
                    assert!(said.contains(file.to_str().unwrap()), "byte {offset}: {said}");
                    assert!(contents(folder.path()) == before, "byte {offset}: {said}");
                }
            }
        }
    }
    assert!(refused > 200, "only {refused} were refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_short_foreign_newer_or_missing_is_refused_by_name() {
    let (files, _) = as_after_a_kill().await;
    let sql = |text: &'static str| {
        move |path: &Path| {
            let connection = rusqlite::Connection::open(path).unwrap();
            connection.execute_batch(text).unwrap();
        }
    };
    let cut = |length: u64| {
        move |path: &Path| {
            fs::File::options().write(true).open(path).unwrap().set_len(length).unwrap()
        }
    };
    type Harm = Box<dyn Fn(&Path)>;
    let cases: Vec<(&str, &str, Harm)> = vec![
        ("raft.db", "damaged", Box::new(cut(0))),
        ("raft.db", "damaged", Box::new(cut(50))),
        ("raft.db", "damaged", Box::new(cut(4096))),
        ("snapshot", "damaged", Box::new(cut(5))),
        ("snapshot", "damaged", Box::new(cut(3000))),
        ("raft.db", "format 9", Box::new(sql("PRAGMA user_version = 9"))),
        ("raft.db", "not one of this engine", Box::new(sql("PRAGMA application_id = 9"))),
        ("raft.db", "missing beside", Box::new(|path: &Path| fs::remove_file(path).unwrap())),
        ("snapshot", "emptied", Box::new(|path: &Path| fs::remove_file(path).unwrap())),
        ("raft.db", "entry 40", Box::new(sql("DELETE FROM log WHERE idx = 40"))),
        ("raft.db", "ballot", Box::new(sql("UPDATE ballot SET term = term + 1"))),
        ("raft.db", "mark", Box::new(sql("UPDATE mark SET idx = idx - 1"))),
        ("raft.db", "identity", Box::new(sql("UPDATE identity SET node = node + 1"))),
    ];
    for (name, expected, harm) in cases {
        let folder = copy_of(&files);
        harm(&folder.path().join(name));
        if name == "snapshot" && expected == "emptied" {
            // Only where the log was emptied is a snapshot needed.
            let database = rusqlite::Connection::open(folder.path().join("raft.db")).unwrap();
            let purged: i64 = database
                .query_row("SELECT count(*) FROM mark WHERE name = 'purged'", (), |row| row.get(0))
                .unwrap();
            if purged == 0 {
                continue;
            }
        }
        let before = contents(folder.path());
        let said = start_error(folder.path()).await.to_string();
        assert!(said.contains(name) && said.contains(expected), "{name}, {expected}: {said}");
        let same = contents(folder.path()) == before;
        assert!(same, "{name}, {expected}: something was changed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_changes_of_a_newer_version_is_refused_and_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    let raft = start(folder.path()).await;
    raft.propose(put(1, "known")).await.unwrap();
    raft.propose(put(2, NEWER)).await.unwrap();
    raft.propose(put(3, "known")).await.unwrap();
    raft.stop().await.unwrap();
    let before = contents(folder.path());
    let refused = start_error(folder.path()).await;
    assert!(matches!(refused, StartError::Open(OpenError::Version { .. })), "{refused:?}");
    let said = refused.to_string();
    for words in ["raft.db", "nothing was changed", "Run the version that wrote them"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(contents(folder.path()) == before, "something was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_stops_the_engine_and_says_so_while_the_last_state_stays() {
    let folder = TempDir::new().unwrap();
    let raft = start(folder.path()).await;
    raft.propose(put(1, "kept")).await.unwrap();
    raft.log().execute("DROP TABLE log");
    let failed = raft.propose(put(2, "lost")).await;
    assert!(matches!(failed, Err(ProposeError::Unknown)), "{failed:?}");
    assert!(matches!(within(raft.failed()).await, Fault::Store(_)));
    let mut leadership = raft.leadership();
    within(leadership.wait_for(|now| now.role == Role::Stopped)).await.unwrap();
    assert!(matches!(raft.propose(put(3, "x")).await, Err(ProposeError::Failed(_))));
    assert!(matches!(raft.read().await, Err(ReadError::Failed(_))));
    assert_eq!(raft.command_fence(), None);
    assert_eq!(&*raft.latest().rows[&1], b"kept");
    assert!(raft.stop().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_reserve_only_what_is_essential_is_taken() {
    let folder = TempDir::new().unwrap();
    let free = {
        let raft = start(folder.path()).await;
        raft.propose(put(0, "x")).await.unwrap();
        let free = raft.free_space();
        raft.stop().await.unwrap();
        free
    };
    let essential = Put { essential: true, ..put(1, "x") };
    let cases = [
        (Reserve { ordinary: 0, essential: 0 }, true, true),
        (Reserve { ordinary: free * 2, essential: 0 }, false, true),
        (Reserve { ordinary: free * 2, essential: free * 2 }, false, false),
    ];
    for (reserve, ordinary_taken, essential_taken) in cases {
        let raft = start_with(folder.path(), Settings { reserve, ..Settings::default() }).await;
        for (command, taken) in
            [(put(2, "x"), ordinary_taken), (essential.clone(), essential_taken)]
        {
            match raft.propose(command).await {
                Ok(_) => assert!(taken, "{reserve:?}"),
                Err(ProposeError::DiskFull { .. }) => assert!(!taken, "{reserve:?}"),
                Err(other) => panic!("{other}"),
            }
        }
        raft.read().await.unwrap();
        raft.stop().await.unwrap();
    }
}

/// A file system of this many MiB. Needs root; without it the test says so and ends.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(mebibytes: u32) -> Option<Self> {
        use rustix::mount::{MountFlags, mount};
        let folder = TempDir::new().unwrap();
        let size = std::ffi::CString::new(format!("size={mebibytes}m")).unwrap();
        match mount("tmpfs", folder.path(), "tmpfs", MountFlags::empty(), Some(&*size)) {
            Ok(()) => Some(Self(folder)),
            Err(cause) => {
                println!("skipped: cannot mount a small file system: {cause}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_changes_keeps_what_is_and_recovers() {
    let Some(disk) = SmallDisk::mount(24) else {
        return;
    };
    let folder = disk.0.path().join("raft");
    let settings = Settings {
        reserve: Reserve { ordinary: 8 << 20, essential: 4 << 20 },
        propose_timeout: Duration::from_millis(500),
        ..Settings::default()
    };
    let raft = start_with(&folder, settings).await;
    raft.propose(put(1, "kept")).await.unwrap();

    // Somebody else fills the disk to the last byte, at once: faster than the reserve is looked at.
    let ballast = disk.0.path().join("ballast");
    let filled = fs::write(&ballast, vec![0; 64 << 20]);
    assert_eq!(filled.unwrap_err().kind(), io::ErrorKind::StorageFull);
    // What is proposed now either finds the log with room of its own, or waits; it is never failed.
    let mut unknown = 0;
    within(async {
        for key in 2.. {
            match raft.propose(Put { essential: true, ..put(key, vec![1; 100_000]) }).await {
                Err(ProposeError::DiskFull { .. }) => break,
                Err(ProposeError::Unknown) => unknown += 1,
                Ok(_) => {}
                Err(other) => panic!("{other}"),
            }
        }
    })
    .await;
    let refused = raft.propose(put(9, "new")).await;
    assert!(matches!(refused, Err(ProposeError::DiskFull { .. })), "{refused:?}");
    assert_eq!(&*raft.latest().rows[&1], b"kept");
    if unknown > 0 {
        // The engine waits for room in the middle of a write: alive, and not ready.
        let mut leadership = raft.leadership();
        within(leadership.wait_for(|now| now.role == Role::Unconfirmed)).await.unwrap();
    }
    assert_ne!(raft.leadership().borrow().role, Role::Stopped);
    println!("{unknown} proposals were on their way when the disk was full");

    fs::remove_file(&ballast).unwrap();
    within(async {
        while raft.propose(put(10, "room")).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    serving(&raft).await;
    let table = raft.read().await.unwrap();
    assert_eq!((&*table.rows[&1], &*table.rows[&10]), (&b"kept"[..], &b"room"[..]));
    raft.stop().await.unwrap();
    let again = start_with(&folder, settings).await;
    assert_eq!(*again.read().await.unwrap(), *table);
    again.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_a_damaged_file_tells_what_to_do() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("raft.db"), "not a database at all".repeat(10)).unwrap();
    let refused = start_error(folder.path()).await;
    assert!(matches!(refused, StartError::Open(OpenError::Damaged { .. })), "{refused}");
    assert!(refused.to_string().contains("Restore the file"), "{refused}");
}
