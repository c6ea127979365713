//! `abide-keeper`: keeps one session, and helps the agent and the broker with what needs root.
//! See `abide_keeper_role` for what each subcommand is.

mod cli;

use std::process::ExitCode;

use abide_keeper_role::{keep, launch, login};
use clap::Parser;
use cli::{Cli, Subcommand};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("abide-keeper: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    // There is one keeper for each desktop: it never comes near the parser, so that none of the
    // parser's memory stays with it.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == "keep") && arguments.next().is_none() {
        return Ok(keep::run()?);
    }
    match Cli::parse().subcommand {
        Subcommand::Keep => Ok(keep::run()?),
        Subcommand::Launch(arguments) => Ok(launch::run(arguments.into())?),
        Subcommand::CleanUp(arguments) => Ok(launch::clean_up(&arguments.into())?),
        Subcommand::LoginHelper(arguments) => Ok(login::run(&arguments.into())?),
        Subcommand::Login(arguments) => Ok(login::one(&arguments.service, arguments.seconds)?),
    }
}
