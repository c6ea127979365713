//! The users file.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{BROKER_CONFIG, JsonArg};

#[derive(Debug, Args)]
pub struct UserArgs {
    /// The users file; the one that the broker's configuration names if absent
    #[arg(long, value_name = "FILE", global = true)]
    pub file: Option<PathBuf>,
    /// The broker's configuration file
    #[arg(long, value_name = "FILE", default_value = BROKER_CONFIG, global = true)]
    pub config: PathBuf,
    #[command(subcommand)]
    pub command: UserCommand,
}

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user; the password is asked for
    Add(AddUserArgs),
    /// Show the users
    List(JsonArg),
    /// Give a user another password
    Passwd(PasswordArgs),
    /// Let a user log in no more; desktops go on
    Disable { name: String },
    /// Let a user log in again
    Enable { name: String },
    /// Take a user out; desktops go on
    Remove { name: String },
}

#[derive(Debug, Args)]
pub struct AddUserArgs {
    /// The name to log in with
    pub name: String,
    /// The user administers the cluster
    #[arg(long)]
    pub admin: bool,
    /// A group of the user; more may be given
    #[arg(long, value_name = "NAME")]
    pub group: Vec<String>,
    /// Read the password from standard input
    #[arg(long)]
    pub password_stdin: bool,
}

#[derive(Debug, Args)]
pub struct PasswordArgs {
    /// Whose
    pub name: String,
    /// Read the password from standard input
    #[arg(long)]
    pub password_stdin: bool,
}
