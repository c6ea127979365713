//! Many seeds, each in a process of its own; a part of them twice.

use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Every so many seeds one runs twice, and both traces must be the same.
const TWICE: u64 = 10;

/// Runs seeds from `first` on. Prints those that fail.
pub fn run(first: u64, count: u64) -> ExitCode {
    let began = Instant::now();
    let next = AtomicU64::new(first);
    let failed = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    if let Err(why) = check(seed) {
                        eprintln!("{why}");
                        if let Ok(mut failed) = failed.lock() {
                            failed.push(seed);
                        }
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap_or_default();
    failed.sort_unstable();
    println!("{count} seeds in {:.1?}; failed: {failed:?}", began.elapsed());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn check(seed: u64) -> Result<(), String> {
    let hash = once(seed)?;
    if seed.is_multiple_of(TWICE) && once(seed)? != hash {
        return Err(format!("seed {seed}: two runs differ"));
    }
    Ok(())
}

fn once(seed: u64) -> Result<String, String> {
    let program = std::env::current_exe().map_err(|cause| cause.to_string())?;
    let output = Command::new(program)
        .args(["--quiet", "--seed", &seed.to_string()])
        .stdin(Stdio::null())
        .output()
        .map_err(|cause| cause.to_string())?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}
