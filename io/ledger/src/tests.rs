//! What is written stays; what is damaged is refused.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use abide_model::{BootId, EndReason, Fence, SessionId, Timestamp};
use abide_session::{KeeperMark, Order, PassHash, Phase, Row};
use abide_ticket::{TokenId, ViewMode};
use proptest::prelude::*;
use uuid::Uuid;

use crate::*;

fn row(n: u128, phase: Phase) -> Row {
    Row {
        session: SessionId(Uuid::from_u128(n)),
        order: (phase != Phase::Cancelled).then(|| Order {
            text: "v4.public.x".into(),
            user: "ada".parse().unwrap(),
            profile: "xfce".parse().unwrap(),
            view_key: "0".repeat(32).parse().unwrap(),
        }),
        boot: boot(),
        keeper: Some(KeeperMark { pid: 42, start_ticks: 9 }),
        ever_attached: true,
        phase,
    }
}

fn boot() -> BootId {
    "boot-1".parse().unwrap()
}

fn pass(n: u8, last_used: u64) -> Pass {
    Pass {
        hash: PassHash([n; 32]),
        session: SessionId(Uuid::from_u128(1)),
        user: "ada".parse().unwrap(),
        viewer: TokenId(Uuid::from_u128(n.into())),
        mode: ViewMode::Control,
        status: "v4.public.y".into(),
        issued_at: Timestamp(7),
        last_used: Timestamp(last_used),
    }
}

fn ticket(n: u128) -> UsedTicket {
    UsedTicket { jti: TokenId(Uuid::from_u128(n)), forget_at: Timestamp(9) }
}

fn log_out(user: &str, before: u64) -> LogOut {
    LogOut { user: user.parse().unwrap(), before: Timestamp(before) }
}

fn reasons() -> Vec<EndReason> {
    vec![
        EndReason::LoggedOut,
        EndReason::Crashed { detail: "x".into() },
        EndReason::Asked { by: "ada".into() },
        EndReason::NeverStarted { detail: "no \"Xvnc\"\n".into() },
        EndReason::LostToBoot { was: boot(), now: "boot-2".parse().unwrap() },
        EndReason::LostKeeper { pid: 7 },
        EndReason::HostShutDown,
        EndReason::Abandoned { by: "root".into() },
        EndReason::Superseded { by: SessionId(Uuid::from_u128(99)) },
        EndReason::Cancelled,
    ]
}

/// One of everything.
fn all() -> Contents {
    let mut phases =
        vec![Phase::Starting, Phase::Running, Phase::Ending { by: "ada".into() }, Phase::Cancelled];
    phases.extend(reasons().into_iter().map(|reason| Phase::Ended { at: Timestamp(3), reason }));
    Contents {
        sessions: (1..).zip(phases).map(|(n, phase)| row(n, phase)).collect(),
        fence: Fence { generation: 1, claimant: u64::MAX, term: 3, leader: 4 },
        tickets: vec![ticket(5), ticket(6)],
        passes: vec![pass(1, 10), pass(2, 20)],
        log_outs: vec![log_out("ada", 11), log_out("bob", 12)],
        clocks: vec![ClockOffset { broker: "b".repeat(32).parse().unwrap(), offset_ms: -600_000 }],
        cluster: vec![0, 1, 255],
    }
}

fn writes(contents: &Contents) -> Vec<Write> {
    let mut writes: Vec<Write> = contents.sessions.iter().cloned().map(Write::PutSession).collect();
    writes.push(Write::PutFence(contents.fence));
    writes.extend(contents.tickets.iter().copied().map(Write::PutTicket));
    writes.extend(contents.passes.iter().cloned().map(Write::PutPass));
    writes.extend(contents.log_outs.iter().cloned().map(Write::PutLogOut));
    writes.extend(contents.clocks.iter().cloned().map(Write::PutClock));
    writes.push(Write::PutCluster(contents.cluster.clone()));
    writes
}

async fn reopened(folder: &Path, ledger: Ledger) -> (Ledger, Contents) {
    ledger.close().await;
    Ledger::open(folder).unwrap()
}

#[tokio::test]
async fn what_was_written_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, empty) = Ledger::open(folder.path()).unwrap();
    assert_eq!(empty, Contents::default());
    ledger.write(writes(&all())).await.unwrap();
    let (ledger, contents) = reopened(folder.path(), ledger).await;
    assert_eq!(contents, all());

    let gone = all();
    let mut forget = vec![Write::PutPass(pass(2, 99)), Write::DeletePass(pass(1, 0).hash)];
    forget.extend(gone.sessions.iter().map(|row| Write::DeleteSession(row.session)));
    forget.extend(gone.tickets.iter().map(|ticket| Write::DeleteTicket(ticket.jti)));
    forget.push(Write::DeleteLogOut("ada".parse().unwrap()));
    ledger.write(forget).await.unwrap();
    let (_ledger, contents) = reopened(folder.path(), ledger).await;
    let left = Contents {
        sessions: vec![],
        tickets: vec![],
        passes: vec![pass(2, 99)],
        log_outs: vec![log_out("bob", 12)],
        ..all()
    };
    assert_eq!(contents, left);
}

/// As the versions made it that knew format 1.
const OLD: &str = r#"
    PRAGMA journal_mode = WAL;
    PRAGMA application_id = 1094861900;
    CREATE TABLE record (
        kind     TEXT    NOT NULL
                 CHECK (kind IN ('session', 'ticket', 'pass', 'clock', 'fence', 'cluster')),
        key      TEXT    NOT NULL,
        body     TEXT    NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY (kind, key)
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 1;
    INSERT INTO record VALUES
        ('cluster', '', '{"view":"0001ff"}', 2714408840),
        ('fence', '', '{"generation":1,"claimant":2,"term":3,"leader":4}', 1176396471),
        ('ticket', '00000000-0000-0000-0000-000000000005', '{"forget_at":9}', 1294341084),
        ('pass', '0101010101010101010101010101010101010101010101010101010101010101', '{"session":"00000000-0000-0000-0000-000000000001","user":"ada","viewer":"00000000-0000-0000-0000-000000000001","mode":"control","status":"v4.public.y","issued_at":7,"last_used":10}', 3857527426),
        ('session', '00000000-0000-0000-0000-000000000001', '{"order":{"text":"v4.public.x","user":"ada","profile":"xfce","view_key":"00000000000000000000000000000000"},"boot":"boot-1","keeper":{"pid":42,"start_ticks":9},"ever_attached":true,"phase":"running"}', 509012956);
"#;

#[tokio::test]
async fn a_ledger_of_the_first_format_is_taken_over_whole() {
    let folder = tempfile::tempdir().unwrap();
    let old = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
    old.execute_batch(OLD).unwrap();
    old.close().unwrap();
    let (ledger, contents) = Ledger::open(folder.path()).unwrap();
    let expected = Contents {
        sessions: vec![row(1, Phase::Running)],
        fence: Fence { generation: 1, claimant: 2, term: 3, leader: 4 },
        tickets: vec![ticket(5)],
        passes: vec![pass(1, 10)],
        cluster: vec![0, 1, 255],
        ..Contents::default()
    };
    assert_eq!(contents, expected);
    // What the first format had no place for.
    ledger.write(vec![Write::PutLogOut(log_out("ada", 11))]).await.unwrap();
    let (_ledger, contents) = reopened(folder.path(), ledger).await;
    assert_eq!(contents, Contents { log_outs: vec![log_out("ada", 11)], ..expected });
}

#[tokio::test]
async fn a_damaged_ledger_of_the_first_format_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let old = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
    old.execute_batch(&OLD.replacen("\"ada\"", "\"eve\"", 1)).unwrap();
    old.close().unwrap();
    std::fs::write(folder.path().join("lock"), "").unwrap();
    let before = picture(folder.path());
    let error = Ledger::open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(picture(folder.path()) == before, "something was changed");
}

#[tokio::test]
async fn one_agent_has_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = Ledger::open(folder.path()).unwrap();
    let error = Ledger::open(folder.path()).unwrap_err();
    assert_eq!(error.to_string(), format!("another agent is using {}", folder.path().display()));
    ledger.close().await;
    assert!(Ledger::open(folder.path()).is_ok());
    assert!(matches!(
        ledger.write(vec![Write::DeletePass(pass(1, 0).hash)]).await,
        Err(WriteError::Closed)
    ));
}

#[tokio::test]
async fn writes_that_wait_together_are_made_together() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = Ledger::open(folder.path()).unwrap();
    let all: Vec<_> = (0..200)
        .map(|n| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.write(vec![Write::PutTicket(ticket(n))]).await })
        })
        .collect();
    for one in all {
        one.await.unwrap().unwrap();
    }
    assert_eq!(reopened(folder.path(), ledger).await.1.tickets.len(), 200);
}

/// Each file of the folder with its content.
fn picture(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

async fn filled(folder: &Path) {
    let (ledger, _) = Ledger::open(folder).unwrap();
    ledger.write(writes(&all())).await.unwrap();
    ledger.close().await;
}

#[tokio::test]
async fn a_damaged_ledger_is_named_and_left_alone() {
    type Damage = fn(&mut Vec<u8>);
    let table: [(&str, Damage); 5] = [
        ("emptied", |file| file.clear()),
        ("cut", |file| file.truncate(5000)),
        ("no database", |file| file[..16].fill(b'x')),
        ("a page overwritten", |file| file[4096..8192].fill(0x5a)),
        ("one letter", |file| {
            // Wherever it stands: SQLite leaves old copies in unused places.
            for at in 0..file.len() - 3 {
                if file[at..].starts_with(b"ada") {
                    file[at] = b'A';
                }
            }
        }),
    ];
    for (what, damage) in table {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path()).await;
        let path = folder.path().join("ledger.db");
        let mut file = std::fs::read(&path).unwrap();
        damage(&mut file);
        std::fs::write(&path, file).unwrap();
        let before = picture(folder.path());
        let error = Ledger::open(folder.path()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{what}: {error}");
        assert!(error.to_string().contains("ledger.db"), "{what}: {error}");
        assert_eq!(picture(folder.path()), before, "{what}");
    }
}

#[tokio::test]
async fn somebody_elses_database_and_a_newer_one_are_left_alone() {
    for (pragma, value) in [("application_id", 1), ("user_version", 3), ("user_version", 0)] {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path()).await;
        let path = folder.path().join("ledger.db");
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.pragma_update(None, pragma, value).unwrap();
        connection.close().unwrap();
        let before = picture(folder.path());
        let error = Ledger::open(folder.path()).unwrap_err();
        assert!(matches!(error, OpenError::Foreign { .. } | OpenError::Format { .. }), "{error}");
        assert_eq!(picture(folder.path()), before);
    }
}

/// Ends a child also when the test fails.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs one test of this very binary as a process of its own.
fn child(test: &str, folder: &Path, wrapper: &[&str]) -> Ends {
    let own = std::env::current_exe().unwrap();
    let mut words = wrapper.iter().map(|word| (*word).to_owned());
    let mut command = match words.next() {
        Some(program) => {
            let mut command = Command::new(program);
            command.args(words).arg(own);
            command
        }
        None => Command::new(own),
    };
    command
        .args([
            "--exact",
            &format!("tests::{test}"),
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("LEDGER_TEST_FOLDER", folder)
        .stdout(Stdio::piped());
    Ends(command.spawn().unwrap())
}

fn folder_of_child() -> std::path::PathBuf {
    std::env::var_os("LEDGER_TEST_FOLDER").expect("started by another test").into()
}

#[tokio::test]
#[ignore = "the child of killed_at_any_moment_it_keeps_what_it_acknowledged"]
async fn child_that_writes_until_it_is_killed() {
    let (ledger, contents) = Ledger::open(&folder_of_child()).unwrap();
    for n in contents.tickets.len() as u128.. {
        let both = vec![Write::PutTicket(ticket(n)), Write::PutPass(pass(1, n as u64))];
        ledger.write(both).await.unwrap();
        println!("acknowledged {n}");
    }
}

#[test]
fn killed_at_any_moment_it_keeps_what_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..8u128 {
        let mut writer = child("child_that_writes_until_it_is_killed", folder.path(), &[]);
        let mut lines = BufReader::new(writer.0.stdout.take().unwrap()).lines();
        let wanted = 20 + round * 13;
        let mut seen = 0;
        let mut last = None;
        for line in lines.by_ref() {
            if let Some(n) = line.unwrap().split("acknowledged ").nth(1) {
                last = Some(n.parse::<u128>().unwrap());
                seen += 1;
                if seen == wanted {
                    break;
                }
            }
        }
        writer.0.kill().unwrap();
        writer.0.wait().unwrap();
        // What it said between our last look and its death counts too.
        for line in lines.map_while(Result::ok) {
            last = line.split("acknowledged ").nth(1).and_then(|n| n.parse().ok()).or(last);
        }
        let last = last.unwrap();
        let (ledger, contents) = Ledger::open(folder.path()).unwrap();
        let kept = contents.tickets.len() as u128;
        assert!(kept == last + 1 || kept == last + 2, "acknowledged {last}, kept {kept}");
        assert_eq!(contents.passes[0].last_used, Timestamp(kept as u64 - 1), "all or none");
        close(&ledger);
    }
}

fn close(ledger: &Ledger) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(ledger.close());
}

#[tokio::test]
#[ignore = "the child of a_full_disk_takes_nothing_new_and_keeps_the_old"]
async fn child_on_a_small_disk() {
    let disk = folder_of_child();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=32m", "tmpfs"])
        .arg(&disk)
        .status()
        .unwrap();
    assert!(mounted.success());
    let folder = disk.join("agent");
    let (ledger, _) = Ledger::open(&folder).unwrap();
    assert!(ledger.has_room(4 << 20));
    assert!(!ledger.has_room(400 << 20));
    ledger.write(writes(&all())).await.unwrap();

    // Somebody else fills the disk to the last byte.
    let filler = disk.join("filler");
    let mut block = vec![1u8; 1 << 20];
    let mut file = std::fs::File::create(&filler).unwrap();
    while !block.is_empty() {
        if std::io::Write::write_all(&mut file, &block).is_err() {
            block.truncate(block.len() / 2);
        }
    }
    drop(file);
    assert!(!ledger.has_room(4 << 20));

    // What belongs to the old sessions still fits; what is written without an end does not.
    let mut n = 0;
    let error = loop {
        let big = Pass { status: "x".repeat(40_000), ..pass((n % 250) as u8, n) };
        let bigger = Pass { hash: PassHash([(n / 250) as u8; 32]), ..big.clone() };
        match ledger.write(vec![Write::PutPass(big), Write::PutPass(bigger)]).await {
            Ok(()) => n += 1,
            Err(error) => break error,
        }
    };
    assert!(n > 10, "what was set aside was of use: {n}");
    assert!(matches!(error, WriteError::Full { .. }), "{error}");
    assert!(!ledger.has_room(0));
    let (ledger, contents) = reopened(&folder, ledger).await;
    assert_eq!(contents.sessions, all().sessions);
    assert!(!ledger.has_room(0));

    std::fs::remove_file(filler).unwrap();
    let mut tries = 0;
    while !ledger.has_room(1 << 20) {
        ledger.write(vec![Write::PutTicket(ticket(77))]).await.unwrap();
        tries += 1;
        assert!(tries < 10, "a disk with room is seen to have room");
    }
    println!("small disk passed");
}

#[test]
fn a_full_disk_takes_nothing_new_and_keeps_the_old() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can mount a small disk");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let wrapper = ["unshare", "--mount", "--propagation", "private", "--"];
    let mut tester = child("child_on_a_small_disk", folder.path(), &wrapper);
    let lines = BufReader::new(tester.0.stdout.take().unwrap()).lines();
    let output: Vec<String> = lines.map_while(Result::ok).collect();
    assert!(tester.0.wait().unwrap().success(), "{output:#?}");
    assert!(output.iter().any(|line| line.contains("small disk passed")), "{output:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_flipped_bit_is_believed(at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        runtime.block_on(filled(folder.path()));
        let path = folder.path().join("ledger.db");
        let mut file = std::fs::read(&path).unwrap();
        let at = at.index(file.len());
        file[at] ^= 1 << bit;
        std::fs::write(&path, file).unwrap();
        // A bit in a part that carries nothing may go unseen, but never changes what is read.
        if let Ok((ledger, contents)) = Ledger::open(folder.path()) {
            runtime.block_on(ledger.close());
            prop_assert_eq!(contents, all());
        }
    }
}
