//! `abide-keeper`: keeps one session, or helps the agent and the broker with what needs root.
use std::process::ExitCode;

fn main() -> ExitCode {
    match abide_keeper_role::keep::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}
