//! `abide`: broker, agent and client in one program.

mod agent;
mod broker;
mod cli;
mod client;
mod config;
mod doctor;
mod ha;
mod input;
mod user;

use std::process::ExitCode;

use abide_agent::AgentError;
use abide_broker::BrokerError;
use abide_client::commands::CommandError;
use abide_telemetry::{LogOptions, init_log};
use anyhow::{Context, anyhow};
use clap::{CommandFactory, Parser};
use cli::{Cli, Command, LogArgs};
use ha::HowItStands;
use input::WrongConfig;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow!(error).context("cannot start the runtime")),
    };
    let outcome = runtime.block_on(run(cli.command));
    // A question at the terminal that nobody answers must not hold the process.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Login(args) => client::login(args).await,
        Command::Logout(args) => client::logout(args).await,
        Command::Connect(args) => client::connect(args).await,
        Command::Session(command) => client::session(command).await,
        Command::Cluster(command) => client::cluster(command).await,
        Command::Config(command) => config::config(command).await,
        Command::Placement(command) => client::placement(command).await,
        Command::Broker(args) => broker::broker(args).await,
        Command::Agent(args) => agent::agent(args).await,
        Command::User(args) => user::user(args),
        Command::Ha(command) => ha::ha(command).await,
        Command::Doctor(args) => doctor::doctor(args).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "abide", &mut std::io::stdout());
            Ok(())
        }
        Command::Manual { folder } => Ok(clap_mangen::generate_to(Cli::command(), folder)?),
    }
}

/// Starts the log; gives what ends a daemon.
fn daemon(log: LogArgs) -> anyhow::Result<impl Future<Output = ()>> {
    init_log(&LogOptions { filter: log.log, format: log.log_format })?;
    told_to_stop()
}

/// Resolves on SIGTERM or SIGINT.
fn told_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Says what went wrong, why, and what to do next.
fn fail(error: &anyhow::Error) -> ExitCode {
    if let Some(HowItStands(code)) = error.downcast_ref() {
        return ExitCode::from(u8::from(*code));
    }
    let command = error.downcast_ref::<CommandError>();
    eprintln!("abide: {error}");
    let mut cause = error.source();
    let mut said = error.to_string();
    while let Some(inner) = cause {
        let text = inner.to_string();
        // Libraries repeat their causes in their own text.
        if !said.contains(&text) {
            eprintln!("  because: {text}");
        }
        said = text;
        cause = inner.source();
    }
    if let Some(advice) = command.and_then(CommandError::advice) {
        eprintln!("{advice}");
    }
    let code = match command {
        Some(error) => error.exit_code() as u8,
        None if is_set_up_wrong(error) => 2,
        None => 1,
    };
    ExitCode::from(code)
}

/// What starting again does not mend: a service manager that sees exit code 2 gives up.
fn is_set_up_wrong(error: &anyhow::Error) -> bool {
    let broker = matches!(error.downcast_ref(), Some(BrokerError::Identity(_)));
    let agent = matches!(
        error.downcast_ref(),
        Some(AgentError::Identity(_) | AgentError::NotAnAgent { .. } | AgentError::Brokers { .. })
    );
    error.is::<WrongConfig>() || broker || agent
}
