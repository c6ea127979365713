//! What needs a process of its own: to be killed, or to have a small disk.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::*;

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
            &format!("tests::processes::{test}"),
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
