//! `abide-bench`: what Abide costs and how fast it is, against what people use instead, on this machine
//! and in the same run.
//!
//! ```text
//!            ┌─▶ Abide: a cluster of real processes, or one crate where the border is there
//! benches ───┤
//!            └─▶ references: bare Xvnc, x2gobroker, websockify, HAProxy, one fsync per write
//!     │
//!     └─▶ figures ─▶ report: a table, and JSON
//! ```
//! Goals stand beside the figures; a figure that misses its goal is no failure. Only loopback is used,
//! and what is started is ended.

mod benches;
mod figure;
mod http;
mod machine;
mod program;
mod reference;
mod report;
mod rfb;
mod stats;
mod system;
mod table;
mod voters;
mod writes;

use std::io::{Write, stderr, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::benches::{Bench, Lab};
use crate::machine::{Machine, Sources};
use crate::report::{Chapter, Report};

/// Measures Abide beside its references, and prints a table.
#[derive(Debug, Parser)]
struct Options {
    /// What to measure; everything if nothing is named.
    #[arg(value_name = "BENCH")]
    benches: Vec<Bench>,
    /// Where the JSON goes.
    #[arg(long, value_name = "FILE", default_value = "target/bench/bench.json")]
    json: PathBuf,
    /// How often each figure is measured; medians are reported.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// On which disk; a folder is made there, and removed again.
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    disk: PathBuf,
    /// In the large table of `broker`; with an agent for every 100.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    sessions: u64,
    /// Where the tables go as Markdown, for people to keep; nowhere if not given.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Measure the mode `login-user` too, with desktops of this person; for root.
    #[arg(long, value_name = "NAME")]
    login_user: Option<String>,
    /// Not for people: a process of `durable-write` and `broker`.
    #[arg(long, hide = true, requires = "address")]
    voter: Option<PathBuf>,
    #[arg(long, hide = true)]
    address: Option<SocketAddr>,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    if let (Some(folder), Some(address)) = (&options.voter, options.address) {
        voters::run_apart(folder, address)?;
    }
    std::fs::create_dir_all(&options.disk)?;
    let folder = tempfile::Builder::new().prefix("run-").tempdir_in(&options.disk)?;
    let lab = Lab {
        runtime: tokio::runtime::Runtime::new()?,
        folder: folder.path().canonicalize()?,
        rounds: options.rounds.into(),
        sessions: options.sessions,
        login_user: options.login_user,
    };
    let mut report = Report {
        sources: Sources::here(),
        machine: Machine::here(&options.disk),
        rounds: lab.rounds,
        benches: Vec::new(),
    };
    let benches = match options.benches.as_slice() {
        [] => Bench::value_variants(),
        named => named,
    };
    for bench in benches {
        writeln!(stderr(), "{} …", bench.name())?;
        let (figures, error) = match bench.run(&lab) {
            Ok(figures) => (figures, None),
            Err(cause) => (Vec::new(), Some(format!("{cause:#}"))),
        };
        report.benches.push(Chapter { bench: bench.name(), figures, error });
    }
    writeln!(stdout(), "{}", report.show())?;
    report.write(&options.json)?;
    writeln!(stdout(), "{}", options.json.display())?;
    if let Some(file) = &options.markdown {
        report.write_markdown(file)?;
        writeln!(stdout(), "{}", file.display())?;
    }
    let measured = report.benches.iter().all(|it| it.error.is_none());
    Ok(if measured { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
