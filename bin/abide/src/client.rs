//! `abide login|logout|connect|session|cluster|placement`: what the words mean to the client.

use std::future::Future;

use abide_client::commands::{
    self, CommandError, Confirmation, ConnectOptions, DrillOptions, Format, LoginOptions,
    LogoutScope, Looking, Target, Through, TokenOptions,
};
use abide_client::{PlacementQuery, Store};

use crate::cli::{
    ClusterCommand, ConnectArgs, DrillArgs, ExplainArgs, JsonArg, LoginArgs, LogoutArgs,
    PlacementCommand, RecoverCommand, SessionCommand,
};
use crate::input::broker_settings;
use crate::told_to_stop;

pub async fn login(args: LoginArgs) -> anyhow::Result<()> {
    let options = LoginOptions {
        broker: args.broker,
        username: args.username,
        trust: args.trust,
        answers_from_stdin: args.answers_stdin,
    };
    Ok(commands::login(&store()?, options).await?)
}

pub async fn logout(args: LogoutArgs) -> anyhow::Result<()> {
    let LogoutArgs { everywhere, forget } = args;
    let scope = if everywhere { LogoutScope::Everywhere } else { LogoutScope::Here };
    Ok(commands::logout(&store()?, scope, forget).await?)
}

pub async fn connect(args: ConnectArgs) -> anyhow::Result<()> {
    let target = match (args.session, args.new) {
        (Some(session), _) => Target::Session(session),
        (None, true) => Target::New(args.profile),
        (None, false) => Target::ResumeOrStart(args.profile),
    };
    let through = match (args.socket, args.listen) {
        (Some(path), _) => Through::Socket(path),
        (None, Some(address)) => Through::Port(address),
        (None, None) => Through::Viewer,
    };
    let store = store()?;
    until_told_to_stop(commands::connect(&store, ConnectOptions { target, through })).await
}

pub async fn session(command: SessionCommand) -> anyhow::Result<()> {
    let store = store()?;
    match command {
        SessionCommand::List(json) => commands::list_sessions(&store, format(&json)).await,
        SessionCommand::End(args) => {
            commands::end_session(&store, &args.session, confirmation(args.yes)).await
        }
        SessionCommand::Abandon(args) => {
            commands::abandon_session(&store, &args.session, confirmation(args.yes)).await
        }
    }?;
    Ok(())
}

pub async fn placement(command: PlacementCommand) -> anyhow::Result<()> {
    let PlacementCommand::Explain(ExplainArgs { user, groups, profile, json }) = command;
    let asked = PlacementQuery { user, groups, profile };
    Ok(commands::explain_placement(&store()?, &asked, format(&json)).await?)
}

pub async fn cluster(command: ClusterCommand) -> anyhow::Result<()> {
    let store = store()?;
    match command {
        ClusterCommand::Status(args) => {
            let looking = if args.watch { Looking::Steadily } else { Looking::Once };
            let status = commands::cluster_status(&store, format(&args.json), looking);
            return until_told_to_stop(status).await;
        }
        ClusterCommand::Drill(args) => return drill(&store, args).await,
        ClusterCommand::Remove(args) => {
            commands::remove_broker(&store, &args.broker, confirmation(args.yes)).await
        }
        ClusterCommand::Recover(RecoverCommand::Status(json)) => {
            commands::recovery_status(&store, format(&json)).await
        }
        ClusterCommand::Recover(RecoverCommand::Expect { agents }) => {
            commands::expect_agents(&store, agents).await
        }
        ClusterCommand::Recover(RecoverCommand::Go) => commands::place_again(&store).await,
        ClusterCommand::Recover(RecoverCommand::Confirm { agent }) => {
            commands::confirm_agent(&store, agent).await
        }
        ClusterCommand::Token(args) => {
            let options = TokenOptions { role: args.role.into(), valid_for: args.valid_for };
            commands::cluster_token(&store, options, format(&args.json)).await
        }
    }?;
    Ok(())
}

async fn drill(store: &Store, args: DrillArgs) -> anyhow::Result<()> {
    let settings = broker_settings(&args.config)?;
    let options = DrillOptions {
        drill: args.drill.into(),
        identity_dir: settings.identity_dir,
        pid_file: abide_broker::pid_file(&settings.data_dir),
        confirmation: confirmation(args.yes),
    };
    until_told_to_stop(commands::drill(store, options, format(&args.json))).await
}

/// What was begun, or its orderly dropping on SIGINT and SIGTERM.
pub async fn until_told_to_stop(
    work: impl Future<Output = Result<(), CommandError>>,
) -> anyhow::Result<()> {
    let told = told_to_stop()?;
    tokio::select! {
        done = work => Ok(done?),
        () = told => Ok(()),
    }
}

pub fn store() -> Result<Store, CommandError> {
    Ok(Store::of_this_person()?)
}

pub fn format(json: &JsonArg) -> Format {
    if json.json { Format::Json } else { Format::Table }
}

fn confirmation(yes: bool) -> Confirmation {
    if yes { Confirmation::Given } else { Confirmation::Ask }
}
