//! `abide`: broker, agent and client in one program.

mod cli;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use abide_agent::{Earlier, JoinError, Machine, Told};
use abide_auth::{Answer, Standing};
use abide_broker::LoginBackend;
use abide_checkup::Report;
use abide_client::Store;
use abide_client::commands::{
    self, CommandError, Confirmation, ConnectOptions, DrillOptions, Format, LoginOptions,
    LogoutScope, Looking, NewUser, Target, Through, TokenOptions,
};
use abide_config::{Access, BaseUrl, replace_file};
use abide_model::AgentId;
use abide_telemetry::{LogOptions, init_log};
use abide_tls::{BrokerIdentity, JoinToken, seal_bundle};
use anyhow::{Context, anyhow, bail};
use clap::{CommandFactory, Parser};
use cli::{
    AGENT_CONFIG, AgentArgs, AgentCommand, BROKER_CONFIG, BrokerArgs, BrokerCommand,
    BrokerJoinArgs, BundleArgs, Cli, ClusterCommand, Command, ConnectArgs, DoctorArgs, DrillArgs,
    InitArgs, JoinArgs, JsonArg, LogArgs, LoginArgs, LogoutArgs, RecoverArgs, RecoverCommand,
    SessionCommand, UserArgs, UserCommand,
};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

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
        Command::Broker(args) => return broker(args).await,
        Command::Agent(args) => return agent(args).await,
        Command::User(args) => return user(args),
        Command::Doctor(args) => return doctor(args).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "abide", &mut std::io::stdout());
            return Ok(());
        }
        Command::Manual { folder } => {
            return Ok(clap_mangen::generate_to(Cli::command(), folder)?);
        }
        Command::Login(args) => commands::login(&store()?, login_options(args)).await,
        Command::Logout(args) => {
            let LogoutArgs { everywhere, forget } = args;
            let scope = if everywhere { LogoutScope::Everywhere } else { LogoutScope::Here };
            commands::logout(&store()?, scope, forget).await
        }
        Command::Connect(args) => until_told_to_stop(connect(args)).await?,
        Command::Session(SessionCommand::List(json)) => {
            commands::list_sessions(&store()?, format(&json)).await
        }
        Command::Session(SessionCommand::End(args)) => {
            commands::end_session(&store()?, &args.session, confirmation(args.yes)).await
        }
        Command::Session(SessionCommand::Abandon(args)) => {
            commands::abandon_session(&store()?, &args.session, confirmation(args.yes)).await
        }
        Command::Cluster(ClusterCommand::Status(args)) => {
            let looking = if args.watch { Looking::Steadily } else { Looking::Once };
            let store = store()?;
            let status = commands::cluster_status(&store, format(&args.json), looking);
            until_told_to_stop(status).await?
        }
        Command::Cluster(ClusterCommand::Remove(args)) => {
            commands::remove_broker(&store()?, &args.broker, confirmation(args.yes)).await
        }
        Command::Cluster(ClusterCommand::Drill(args)) => drill(args).await?,
        Command::Cluster(ClusterCommand::Recover(command)) => match command {
            RecoverCommand::Status(json) => {
                commands::recovery_status(&store()?, format(&json)).await
            }
            RecoverCommand::Expect { agents } => commands::expect_agents(&store()?, agents).await,
            RecoverCommand::Go => commands::place_again(&store()?).await,
            RecoverCommand::Confirm { agent } => commands::confirm_agent(&store()?, agent).await,
        },
        Command::Cluster(ClusterCommand::Token(args)) => {
            let options = TokenOptions { role: args.role.into(), valid_for: args.valid_for };
            commands::cluster_token(&store()?, options, format(&args.json)).await
        }
    }?;
    Ok(())
}

fn login_options(args: LoginArgs) -> LoginOptions {
    LoginOptions {
        broker: args.broker,
        username: args.username,
        trust: args.trust,
        answers_from_stdin: args.answers_stdin,
    }
}

async fn connect(args: ConnectArgs) -> Result<(), CommandError> {
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
    commands::connect(&store()?, ConnectOptions { target, through }).await
}

/// What was begun, or its orderly dropping on SIGINT and SIGTERM.
async fn until_told_to_stop(
    work: impl Future<Output = Result<(), CommandError>>,
) -> anyhow::Result<Result<(), CommandError>> {
    let told = told_to_stop()?;
    Ok(tokio::select! {
        done = work => done,
        () = told => Ok(()),
    })
}

async fn drill(args: DrillArgs) -> anyhow::Result<Result<(), CommandError>> {
    let settings = broker_settings(&args.config)?;
    let options = DrillOptions {
        drill: args.drill.into(),
        identity_dir: settings.identity_dir,
        pid_file: abide_broker::pid_file(&settings.data_dir),
        confirmation: confirmation(args.yes),
    };
    let store = store()?;
    until_told_to_stop(commands::drill(&store, options, format(&args.json))).await
}

async fn broker(args: BrokerArgs) -> anyhow::Result<()> {
    match args.command {
        Some(BrokerCommand::Init(args)) => return init(&args),
        Some(BrokerCommand::Recover(args)) => return recover(&args),
        Some(BrokerCommand::Bundle(args)) => return bundle(&args),
        Some(BrokerCommand::Join(args)) => return join_as_broker(args).await,
        Some(BrokerCommand::ReleaseAddress(args)) => return release_address(&args.config),
        Some(BrokerCommand::Openapi) => {
            let text = abide_broker::openapi().to_pretty_json()?;
            return Ok(writeln!(std::io::stdout(), "{text}")?);
        }
        None => {}
    }
    let settings = broker_settings(&args.config)?;
    let told = daemon(args.log)?;
    Ok(abide_broker::run(settings, told).await?)
}

fn init(args: &InitArgs) -> anyhow::Result<()> {
    say_public_url(&args.config, args.public_url.as_ref())?;
    let settings = broker_settings(&args.config)?;
    let passphrase = |prompt| passphrase(args.passphrase_file.as_deref(), prompt);
    let founding = match (&args.recover, args.rebuild) {
        (Some(path), _) => abide_broker::Founding::Recovered {
            bundle: fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?,
            passphrase: passphrase("Passphrase of the recovery bundle: ")?,
        },
        (None, true) => abide_broker::Founding::Rebuilt,
        (None, false) => abide_broker::Founding::New,
    };
    let bundle = args
        .recovery_bundle
        .clone()
        .map(|path| anyhow::Ok((path, passphrase("Passphrase for the recovery bundle: ")?)));
    let bundle = bundle.transpose()?;
    let has_bundle = bundle.is_some() || args.recover.is_some();
    let report = abide_broker::init(&abide_broker::InitOptions {
        identity_dir: settings.identity_dir.clone(),
        public_url: settings.public_url.clone(),
        founding,
        bundle,
    })?;
    if !has_bundle {
        eprintln!(
            "Without a recovery bundle, losing all brokers means joining every agent again. To write \
             one: abide broker bundle FILE"
        );
    }
    eprintln!(
        "Cluster {} made, with this broker in it.\n\
         Its keys are in {}.\n\
         Run the broker: abide broker --config {}\n\
         The CA's SHA-256, for the first login from each computer:",
        report.cluster,
        settings.identity_dir.display(),
        args.config.display()
    );
    writeln!(std::io::stdout(), "{}", report.ca_fingerprint)?;
    Ok(())
}

fn recover(args: &RecoverArgs) -> anyhow::Result<()> {
    let settings = broker_settings(&args.config)?;
    let broker = abide_broker::recover(&settings)?;
    eprintln!(
        "Broker {broker} will make the table anew from what the agents report.\n\
         Do this on one broker alone; the others join it when they are started.\n\
         Run it: abide broker --config {}\n\
         Then see: abide cluster recover status",
        args.config.display()
    );
    Ok(())
}

fn bundle(args: &BundleArgs) -> anyhow::Result<()> {
    let settings = broker_settings(&args.config)?;
    let identity = BrokerIdentity::load(&settings.identity_dir)?;
    if args.file.exists() {
        bail!("{} exists already, and is not overwritten", args.file.display());
    }
    let prompt = "Passphrase for the recovery bundle: ";
    let passphrase = passphrase(args.passphrase_file.as_deref(), prompt)?;
    let text = seal_bundle(&identity.authority, &passphrase);
    replace_file(&args.file, text.as_bytes(), Access::Owner)
        .with_context(|| format!("cannot write {}", args.file.display()))
}

async fn join_as_broker(args: BrokerJoinArgs) -> anyhow::Result<()> {
    say_public_url(&args.config, args.public_url.as_ref())?;
    let settings = broker_settings(&args.config)?;
    let token = join_token(args.token_file.as_deref())?;
    let broker = abide_broker::join(&settings, &args.broker, &token).await?;
    eprintln!(
        "This machine is broker {broker} of cluster {}.\nRun it: abide broker --config {}",
        token.cluster,
        args.config.display()
    );
    Ok(())
}

fn release_address(config: &Path) -> anyhow::Result<()> {
    // A host without one runs the same unit file.
    let Some(wanted) = broker_settings(config)?.service_address else { return Ok(()) };
    for address in abide_address::release(&wanted)? {
        eprintln!("Removed {address} from {}.", wanted.interface);
    }
    Ok(())
}

async fn agent(args: AgentArgs) -> anyhow::Result<()> {
    match args.command {
        Some(AgentCommand::List(json)) => {
            Ok(commands::list_agents(&store()?, format(&json)).await?)
        }
        Some(AgentCommand::Join(args)) => join(args).await,
        None => {
            let settings = agent_settings(&args.config)?;
            let told = daemon(args.log)?;
            Ok(abide_agent::run(settings, told).await?)
        }
    }
}

/// The one thing that a packaged configuration file cannot know.
fn say_public_url(config: &Path, url: Option<&BaseUrl>) -> anyhow::Result<()> {
    let Some(url) = url else { return Ok(()) };
    Ok(abide_config::say_first(config, "public_url", url.as_str())?)
}

async fn join(args: JoinArgs) -> anyhow::Result<()> {
    say_public_url(&args.config, args.public_url.as_ref())?;
    let settings = agent_settings(&args.config)?;
    let token = join_token(args.token_file.as_deref())?;
    let names = vec![settings.public_url.host()];
    let machine = Machine {
        name: &settings.name,
        public_names: names,
        folder: &settings.identity_dir,
        earlier: if args.replace_cluster { Earlier::Left } else { Earlier::Refused },
    };
    let agent = join_any(&args.broker, &token, machine).await?;
    eprintln!(
        "This machine is agent {agent} of cluster {}.\nRun it: abide agent --config {}",
        token.cluster,
        args.config.display()
    );
    match abide_agent::tell_launcher(&settings, &args.launcher_env)? {
        Told::Written | Told::NotNeeded => {}
        Told::OnlyRootMay(text) => eprintln!(
            "Desktops start once root has put this into {}:\n{text}",
            args.launcher_env.display()
        ),
    }
    Ok(())
}

fn join_token(file: Option<&Path>) -> anyhow::Result<JoinToken> {
    Ok(secret_in(file, "Token: ")?.trim().parse()?)
}

/// Of a recovery bundle.
fn passphrase(file: Option<&Path>, prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    let passphrase = secret_in(file, prompt)?;
    if passphrase.is_empty() {
        bail!("the passphrase is empty; nothing was changed");
    }
    Ok(passphrase)
}

/// The first line of the file that was named, or of standard input, or what is asked for.
fn secret_in(file: Option<&Path>, prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    match file {
        None => Ok(commands::secret_from(false, prompt)?),
        Some(path) if path == Path::new("-") => Ok(commands::secret_from(true, prompt)?),
        Some(path) => {
            let mut text = Zeroizing::new(String::new());
            fs::File::open(path)
                .and_then(|mut file| file.read_to_string(&mut text))
                .with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
        }
    }
}

/// By the first broker that answers.
async fn join_any(
    brokers: &[String],
    token: &JoinToken,
    machine: Machine<'_>,
) -> Result<AgentId, JoinError> {
    let mut silent = None;
    for broker in brokers {
        match abide_agent::join(broker, token, machine.clone()).await {
            Err(error @ (JoinError::Unreachable { .. } | JoinError::Slow { .. })) => {
                silent = Some(error);
            }
            answer => return answer,
        }
    }
    Err(silent.expect("the command line demands a broker"))
}

async fn doctor(args: DoctorArgs) -> anyhow::Result<()> {
    let DoctorArgs { broker_config, agent_config, json } = args;
    let mut report = Report::default();
    let path = broker_config.as_deref().unwrap_or(Path::new(BROKER_CONFIG));
    let broker = match broker_config.is_some() || abide_broker::is_wanted(path) {
        true => Some(abide_broker::check_up(path, &mut report).await),
        false => None,
    };
    let path = agent_config.as_deref().unwrap_or(Path::new(AGENT_CONFIG));
    let agent = match agent_config.is_some() || abide_agent::is_wanted(path) {
        true => Some(abide_agent::check_up(path, &mut report).await),
        false => None,
    };
    match (&broker, &agent) {
        (None, None) => report.add(abide_checkup::nothing_here()),
        (Some(Some(broker)), Some(Some(agent))) => {
            report.add(abide_checkup::free_port(broker.http, agent.http));
        }
        _ => {}
    }
    report.add(abide_checkup::clock_is_kept());
    report.add(abide_checkup::rights());
    let text = if json.json { report.json()? + "\n" } else { report.text() };
    std::io::stdout().write_all(text.as_bytes())?;
    match report.is_wrong() {
        true => bail!("something is wrong, as said above"),
        false => Ok(()),
    }
}

fn user(args: UserArgs) -> anyhow::Result<()> {
    let file = users_file(args.file, &args.config)?;
    let password = |stdin, name: &str| {
        let prompt = format!("New password for {name}: ");
        let first = commands::secret_from(stdin, &prompt)?;
        if !stdin && commands::secret_from(false, "The same again: ")? != first {
            bail!("the two are not the same; nothing was changed");
        }
        Ok(Answer::new(first.to_string()))
    };
    match args.command {
        UserCommand::List(json) => commands::list_users(&file, format(&json)),
        UserCommand::Add(args) => {
            let password = password(args.password_stdin, &args.name)?;
            let role = match args.admin {
                true => abide_ticket::Role::Administrator,
                false => abide_ticket::Role::User,
            };
            commands::add_user(
                &file,
                NewUser { name: args.name, password, groups: args.group, role },
            )
        }
        UserCommand::Passwd(args) => {
            let password = password(args.password_stdin, &args.name)?;
            commands::set_password(&file, &args.name, password)
        }
        UserCommand::Disable { name } => commands::set_standing(&file, &name, Standing::Disabled),
        UserCommand::Enable { name } => commands::set_standing(&file, &name, Standing::Active),
        UserCommand::Remove { name } => commands::remove_user(&file, &name),
    }?;
    Ok(())
}

fn users_file(given: Option<PathBuf>, config: &Path) -> anyhow::Result<PathBuf> {
    if let Some(file) = given {
        return Ok(file);
    }
    match broker_settings(config)?.login.backend {
        LoginBackend::UsersFile { path } => Ok(path),
        LoginBackend::Pam { .. } => bail!(
            "logins here go through PAM, by {}: add users to the system, or name a users file with \
             --file",
            config.display()
        ),
    }
}

fn broker_settings(path: &Path) -> anyhow::Result<abide_broker::Settings> {
    let text = read_config(path)?;
    abide_broker::settings_from(path, &text).map_err(|problems| WrongConfig(problems).into())
}

fn agent_settings(path: &Path) -> anyhow::Result<abide_agent::Settings> {
    let text = read_config(path)?;
    abide_agent::settings_from(path, &text).map_err(|problems| WrongConfig(problems).into())
}

fn read_config(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration file {}", path.display()))
}

/// A configuration file with problems: exit code 2, as for a wrong command line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct WrongConfig(abide_config::Problems);

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

fn store() -> Result<Store, CommandError> {
    Ok(Store::of_this_person()?)
}

fn format(json: &JsonArg) -> Format {
    if json.json { Format::Json } else { Format::Table }
}

fn confirmation(yes: bool) -> Confirmation {
    if yes { Confirmation::Given } else { Confirmation::Ask }
}

/// Says what went wrong, why, and what to do next.
fn fail(error: &anyhow::Error) -> ExitCode {
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
        None if error.is::<WrongConfig>() => 2,
        None => 1,
    };
    ExitCode::from(code)
}
