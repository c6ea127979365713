//! `abide user …`: the users file.

use std::path::{Path, PathBuf};

use abide_auth::{Answer, Standing};
use abide_broker::LoginBackend;
use abide_client::commands::{self, NewUser};
use anyhow::bail;

use crate::cli::{UserArgs, UserCommand};
use crate::client::format;
use crate::input::broker_settings;

pub fn user(args: UserArgs) -> anyhow::Result<()> {
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
