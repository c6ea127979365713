//! What several rounds showed: a table for people, JSON for machines.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::round::Round;

/// The head of the table.
pub const HEAD: &str = "scenario          rounds   start p50/p99/max ms     connect p50/p99/max ms   \
                        address p50/p99/max ms   two hosts ms   calls failed lost doubles  gap ms";

/// One line of the table.
pub fn line(scenario: &str, rounds: &[Round]) -> String {
    let sum = |of: fn(&Round) -> usize| rounds.iter().map(of).sum::<usize>();
    let most = |of: fn(&Round) -> f64| rounds.iter().map(of).fold(0.0, f64::max);
    format!(
        "{scenario:<17} {:>6}   {:<24} {:<24} {:<24} {:>12.0} {:>7} {:>6} {:>4} {:>7} \
         {:>7.0}",
        rounds.len(),
        three(rounds, |it| it.start_ms),
        three(rounds, |it| it.connect_ms),
        three(rounds, |it| it.address_ms.unwrap_or_default()),
        most(|it| it.shared_ms),
        sum(|it| it.calls),
        sum(|it| it.failed.len()),
        sum(|it| it.audit.lost.len()),
        sum(|it| it.audit.duplicates.len()),
        most(|it| it.gap_ms),
    )
}

/// The line of what others needed to move their address, on the same hosts.
pub fn reference(name: &str, took: &[Duration]) -> String {
    format!("{name:<17} {:>6}   {:<49} {:<24}", took.len(), "", three(took, milliseconds))
}

fn milliseconds(took: &Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

/// Everything, with the machine and the commit.
pub fn json(commit: &str, keepalived: &[Duration], results: &[(&str, Vec<Round>)]) -> Value {
    let scenarios = results.iter().map(|(name, rounds)| {
        json!({
            "scenario": name,
            "start_ms": figures(rounds, |it| it.start_ms),
            "connect_ms": figures(rounds, |it| it.connect_ms),
            "address_ms": figures(rounds, |it| it.address_ms.unwrap_or_default()),
            "rounds": rounds,
        })
    });
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = Command::new("uname").arg("-sr").output().map(|it| it.stdout).unwrap_or_default();
    json!({
        "commit": commit,
        "machine": { "cpus": cpus, "kernel": String::from_utf8_lossy(&kernel).trim() },
        "keepalived_address_ms": figures(keepalived, milliseconds),
        "scenarios": scenarios.collect::<Vec<_>>(),
    })
}

fn figures<T>(rounds: &[T], of: fn(&T) -> f64) -> Value {
    let at = |share| percentile(rounds, of, share);
    json!({ "p50": at(0.5), "p99": at(0.99), "max": at(1.0) })
}

fn three<T>(rounds: &[T], of: fn(&T) -> f64) -> String {
    let at = |share| percentile(rounds, of, share);
    format!("{:.0} / {:.0} / {:.0}", at(0.5), at(0.99), at(1.0))
}

/// The smallest value that this share of all does not exceed (nearest rank); 0 of nothing.
fn percentile<T>(rounds: &[T], of: fn(&T) -> f64, share: f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}
