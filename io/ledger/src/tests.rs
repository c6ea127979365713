//! What is written stays; what is damaged is refused.

mod processes;

use std::path::Path;

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
            pool: None,
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
        config: KeptConfig { told: vec![2, 0], read: Some(vec![1]) },
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
    writes.push(Write::PutConfig(contents.config.clone()));
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
async fn a_ledger_of_an_earlier_format_is_taken_over_whole() {
    let second = OLD.replace("'pass', 'clock'", "'pass', 'log-out', 'clock'");
    let second = second.replace("user_version = 1", "user_version = 2");
    for old in [OLD, &second] {
        is_taken_over(old).await;
    }
}

async fn is_taken_over(sql: &str) {
    let folder = tempfile::tempdir().unwrap();
    let old = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
    old.execute_batch(sql).unwrap();
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
    // What they had no place for.
    let config = KeptConfig { told: vec![7], read: None };
    let new = vec![Write::PutLogOut(log_out("ada", 11)), Write::PutConfig(config.clone())];
    ledger.write(new).await.unwrap();
    let (_ledger, contents) = reopened(folder.path(), ledger).await;
    assert_eq!(contents, Contents { log_outs: vec![log_out("ada", 11)], config, ..expected });
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
    for (pragma, value) in [("application_id", 1), ("user_version", 4), ("user_version", 0)] {
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
