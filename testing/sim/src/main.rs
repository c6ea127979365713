//! A whole cluster in one deterministic simulation: the table, placement, agents, fencing and recovery.
//!
//! The engine is the product's own, openraft included, in simulated time and over simulated wires and
//! disks. A safety phase, in which things go wrong, is followed by a liveness phase, in which all is
//! healed. The seed decides everything. README.md says what is real, and how each invariant was seen red.
#![expect(clippy::print_stdout, reason = "a program's answer")]

mod agent;
mod broker;
mod chance;
mod driver;
mod enroll;
mod faults;
mod history;
mod invariants;
mod names;
mod net;
mod pair;
mod runs;
mod trace;
mod user;
mod wires;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use world::World;

/// Run the cluster from seeds
#[derive(Debug, Parser)]
struct Cli {
    /// Run this one seed and print its trace
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Print only the trace's hash
    #[arg(long, requires = "seed")]
    quiet: bool,
    /// Run so many seeds
    #[arg(long, value_name = "N", default_value_t = 500)]
    seeds: u64,
    /// The first of them
    #[arg(long, value_name = "S", default_value_t = 0)]
    first: u64,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let Some(seed) = cli.seed else {
        return runs::run(cli.first, cli.seeds);
    };
    // Gone when this function ends, however the run does.
    let folder = tempfile::tempdir().unwrap_or_else(|cause| panic!("no folder: {cause}"));
    let path = folder.path().to_owned();
    // A thread of its own: what the standard library drew before was not from the seed.
    let run = std::thread::spawn(move || one(seed, !cli.quiet, path));
    match run.join() {
        Ok(hash) => {
            println!("{hash:08x}");
            ExitCode::SUCCESS
        }
        Err(_) => {
            eprintln!("seed {seed}: the simulation has panicked");
            ExitCode::FAILURE
        }
    }
}

fn one(seed: u64, shown: bool, folder: PathBuf) -> u32 {
    chance::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap_or_else(|cause| panic!("no runtime: {cause}"));
    let hash = runtime.block_on(async { World::new(seed, shown, folder).run().await });
    // Tasks of dead brokers need no farewell.
    std::mem::forget(runtime);
    hash
}
