//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use abide_keeper_role::{group_id, launch, login, user_id};
use abide_model::{AgentId, ClusterId, SessionId};
use abide_ticket::VerifyingKey;
use clap::{Args, Parser};

/// Keeps one session, and helps the agent and the broker with what needs root.
#[derive(Debug, Parser)]
#[command(name = "abide-keeper", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub subcommand: Subcommand,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Subcommand {
    /// Keep one session: reads what on standard input, answers on standard output
    ///
    /// For the agent and the launcher, not for people.
    Keep,
    /// Start keepers for the agent (as root)
    Launch(Launch),
    /// Remove what a session left whose keeper was killed
    #[command(hide = true)]
    CleanUp(CleanUp),
    /// Ask PAM for the broker (as root)
    LoginHelper(LoginHelper),
    /// Serve one login, on standard input
    #[command(hide = true)]
    Login(Login),
}

/// The launcher's settings.
#[derive(Debug, Args)]
pub struct Launch {
    /// Where to listen; left out, systemd's socket is taken
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The user that the agent runs as, by name or id
    #[arg(long, value_name = "USER", value_parser = user_id)]
    agent_user: u32,
    /// The group that may open the sessions' sockets, by name or id
    #[arg(long, value_name = "GROUP", value_parser = group_id)]
    agent_group: u32,
    /// The agent's id, as start orders name it
    #[arg(long, value_name = "ID", env = "ABIDE_AGENT_ID")]
    agent_id: AgentId,
    /// The cluster's id
    #[arg(long, value_name = "UUID", env = "ABIDE_CLUSTER")]
    cluster: ClusterId,
    /// The cluster's root key, which is public: 64 hex digits
    #[arg(long, value_name = "KEY", env = "ABIDE_ROOT_KEY")]
    root_key: VerifyingKey,
    /// Where the sessions' folders are
    #[arg(long, value_name = "DIR", default_value = "/run/abide/sessions")]
    run_dir: PathBuf,
    /// Where to keep which start orders were used
    #[arg(long, value_name = "DIR", default_value = "/var/lib/abide/launcher")]
    state_dir: PathBuf,
    /// The display server
    #[arg(long, value_name = "PROGRAM", default_value = "/usr/bin/Xvnc")]
    display_server: PathBuf,
    /// The PAM service of sessions
    #[arg(long, value_name = "NAME", default_value = "abide")]
    pam_service: String,
    /// The lowest user id that may have a desktop
    #[arg(long, value_name = "UID", default_value_t = 1000)]
    lowest_uid: u32,
}

impl From<Launch> for launch::Settings {
    fn from(from: Launch) -> Self {
        Self {
            socket: from.socket,
            agent_uid: from.agent_user,
            agent_gid: from.agent_group,
            agent: from.agent_id,
            cluster: from.cluster,
            root_key: from.root_key,
            run_dir: from.run_dir,
            state_dir: from.state_dir,
            display_server: from.display_server,
            pam_service: from.pam_service,
            lowest_uid: from.lowest_uid,
        }
    }
}

/// What to remove.
#[derive(Debug, Args)]
pub struct CleanUp {
    #[arg(long)]
    run_dir: PathBuf,
    #[arg(long)]
    session: SessionId,
    #[arg(long)]
    keep_folder: bool,
}

impl From<CleanUp> for launch::CleanUp {
    fn from(from: CleanUp) -> Self {
        Self { run_dir: from.run_dir, session: from.session, keep_folder: from.keep_folder }
    }
}

/// The login helper's settings.
#[derive(Debug, Args)]
pub struct LoginHelper {
    /// Where to listen; left out, systemd's socket is taken
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The user that the broker runs as, by name or id
    #[arg(long, value_name = "USER", value_parser = user_id)]
    broker_user: u32,
    /// The PAM service
    #[arg(long, value_name = "NAME", default_value = "abide")]
    service: String,
    /// Logins at once; one more waits
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    most: u16,
    /// How long a login may take, typing included
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

impl From<LoginHelper> for login::Settings {
    fn from(from: LoginHelper) -> Self {
        Self {
            socket: from.socket,
            broker_uid: from.broker_user,
            service: from.service,
            most: from.most.into(),
            limit: Duration::from_secs(from.seconds.into()),
        }
    }
}

/// One login.
#[derive(Debug, Args)]
pub struct Login {
    /// The PAM service.
    #[arg(long)]
    pub service: String,
    /// How long it may take.
    #[arg(long)]
    pub seconds: u32,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
