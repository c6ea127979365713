//! `cargo xtask sim`: builds the simulation, then runs it.

use std::process::Command;

use crate::{SimArgs, shell};

pub fn run(args: &SimArgs) -> anyhow::Result<()> {
    let bins = shell::build(&["abide-sim"], false)?;
    let mut sim = Command::new(bins.join("abide-sim"));
    match args.seed {
        Some(seed) => sim.args(["--seed", &seed.to_string()]),
        None => sim.args(["--seeds", &args.seeds.to_string(), "--first", &args.first.to_string()]),
    };
    shell::run(&mut sim)
}
