//! `abide config`: what its words mean to the client.

use abide_client::commands::{self, ApplyOptions};

use crate::cli::ConfigCommand;
use crate::client::{format, store};

pub async fn config(command: ConfigCommand) -> anyhow::Result<()> {
    let store = store()?;
    match command {
        ConfigCommand::Show(args) => {
            commands::show_config(&store, args.version, format(&args.json)).await
        }
        ConfigCommand::Edit(args) => commands::edit_config(&store, args.note).await,
        ConfigCommand::Apply(args) => {
            let options = ApplyOptions { file: args.file, note: args.note, dry_run: args.dry_run };
            commands::apply_config(&store, options, format(&args.json)).await
        }
        ConfigCommand::Diff(args) => {
            commands::diff_config(&store, args.first, args.second, format(&args.json)).await
        }
        ConfigCommand::History(json) => commands::config_history(&store, format(&json)).await,
    }?;
    Ok(())
}
