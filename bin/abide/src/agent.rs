//! `abide agent …`: this machine's agent.

use abide_agent::{Earlier, JoinError, Machine, Told};
use abide_client::commands::{self, DrainOptions};
use abide_model::AgentId;
use abide_tls::JoinToken;

use crate::cli::{AgentArgs, AgentCommand, DrainArgs, JoinArgs};
use crate::client::{format, store, until_told_to_stop};
use crate::daemon;
use crate::input::{agent_settings, join_token, say_public_url};

pub async fn agent(args: AgentArgs) -> anyhow::Result<()> {
    match args.command {
        Some(AgentCommand::List(json)) => {
            Ok(commands::list_agents(&store()?, format(&json)).await?)
        }
        Some(AgentCommand::Drain(args)) => drain(args).await,
        Some(AgentCommand::Undrain { agents }) => {
            Ok(commands::undrain_agents(&store()?, &agents).await?)
        }
        Some(AgentCommand::Join(args)) => join(args).await,
        None => {
            let settings = agent_settings(&args.config)?;
            let told = daemon(args.log)?;
            Ok(abide_agent::run(settings, told).await?)
        }
    }
}

async fn drain(args: DrainArgs) -> anyhow::Result<()> {
    let DrainArgs { agents, deadline, message, then, force, watch, waves } = args;
    let options = DrainOptions { deadline, message, then: then.into(), force, watch, waves };
    let store = store()?;
    until_told_to_stop(commands::drain_agents(&store, &agents, &options)).await
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
