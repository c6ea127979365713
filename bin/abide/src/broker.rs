//! `abide broker …`: this machine's broker.

use std::fs;
use std::io::Write;
use std::path::Path;

use abide_config::{Access, replace_file};
use abide_tls::{BrokerIdentity, seal_bundle};
use anyhow::{Context, bail};

use crate::cli::{BrokerArgs, BrokerCommand, BrokerJoinArgs, BundleArgs, InitArgs, RecoverArgs};
use crate::daemon;
use crate::input::{broker_settings, join_token, passphrase, say_public_url};

pub async fn broker(args: BrokerArgs) -> anyhow::Result<()> {
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
