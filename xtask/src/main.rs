//! `cargo xtask`: what one does with this repository, in one word each.

mod check;
mod demo;
mod dist;
mod imports;
mod install;
mod lab;
mod links;
#[cfg(test)]
mod managers;
mod monitoring;
mod openapi;
mod shell;
mod sim;
mod test;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// What one does with this repository
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run a whole cluster on this machine, until Ctrl-C
    Demo(DemoArgs),
    /// Run every test that one machine can run, the browser's included
    Test(TestArgs),
    /// Measure, print a table, write JSON; what follows is for the bench itself
    Bench {
        /// See `cargo xtask bench -- --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run the whole cluster in a deterministic simulation
    Sim(SimArgs),
    /// Play failures on hosts (root on Linux): nothing means all tests, with three rounds of each;
    /// `hosts [--release] [FILTER]` the stories on whole Debian hosts alone; what else follows is for the
    /// lab itself
    Lab {
        /// See `cargo xtask lab -- --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build the Debian package
    Dist(DistArgs),
    /// Check formatting, lints, the direction of imports, links between pages, licences
    Check,
    /// Write proto/api/openapi.json from the broker's own description
    Openapi,
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// How many brokers, 1 to 9
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    brokers: u8,
    /// How many agents, 1 to 200
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=200))]
    agents: u8,
    /// An empty or missing folder for everything, with a path of 40 bytes at most
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The port of every server, each on its own 127.0.0.N; brokers take the next one too
    #[arg(long, value_name = "P", default_value_t = 8080)]
    base_port: u16,
    /// Open no browser
    #[arg(long)]
    no_open: bool,
    /// Build for speed, which takes longer
    #[arg(long)]
    release: bool,
}

#[derive(Debug, Args)]
struct TestArgs {
    /// Run the tests so many times
    #[arg(long, value_name = "N", default_value_t = 1)]
    rounds: u32,
    /// How many seeds the random tests take, where not their own number
    #[arg(long, value_name = "N")]
    seeds: Option<u32>,
    /// Only tests whose names contain this
    filter: Option<String>,
}

#[derive(Debug, Args)]
struct DistArgs {
    /// Which build is packed; "dev" is for tests
    #[arg(long, value_name = "PROFILE", default_value = "release")]
    profile: Profile,
    /// Added to the version, after a hyphen: another package of the same version
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
    /// Pack the programs that are built already
    #[arg(long)]
    no_build: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Profile {
    Release,
    Dev,
}

#[derive(Debug, Args)]
struct SimArgs {
    /// How many seeds to run
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, value_name = "S", default_value_t = 0)]
    first: u64,
    /// Run this one seed instead, and print its trace
    #[arg(long, value_name = "S", conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Demo(args) => demo::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Bench { arguments } => test::bench(&arguments),
        Task::Sim(args) => sim::run(&args),
        Task::Lab { arguments } => lab::run(&arguments),
        Task::Dist(args) => dist::run(&args),
        Task::Check => check::run(),
        Task::Openapi => openapi::write(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
