//! People and their desktops.

use std::net::SocketAddr;
use std::path::PathBuf;

use abide_config::BaseUrl;
use abide_tls::Fingerprint;
use clap::{Args, Subcommand};

use super::JsonArg;

pub(super) const LOGIN_EXAMPLES: &str = "\
Examples:
  abide login --broker https://desk.example.org --username ada
  abide login                                  the cluster of the last login
  abide login --username ada --answers-stdin < password-file

A CA that this computer does not know is shown by its fingerprint, to be compared; --trust names it
beforehand. What is remembered lies in ~/.config/abide.";

#[derive(Debug, Args)]
pub struct LoginArgs {
    /// A broker's URL; the cluster of the last login if absent
    #[arg(long, value_name = "URL")]
    pub broker: Option<BaseUrl>,
    /// Asked for if absent
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// The SHA-256 fingerprint of the cluster's CA
    #[arg(long, value_name = "FINGERPRINT")]
    pub trust: Option<Fingerprint>,
    /// Answer the login's questions with the lines of standard input
    #[arg(long, alias = "password-stdin")]
    pub answers_stdin: bool,
}

#[derive(Debug, Args)]
pub struct LogoutArgs {
    /// End every login and every way into a desktop that this person has, on all computers
    #[arg(long)]
    pub everywhere: bool,
    /// Forget the cluster and its CA too
    #[arg(long)]
    pub forget: bool,
}

pub(super) const CONNECT_EXAMPLES: &str = "\
Examples:
  abide connect                                the newest desktop, or a new one
  abide connect --new --profile xfce           another desktop
  abide connect --socket ~/desktop.sock        for another VNC client
  abide connect --listen 127.0.0.1:5901        the same, behind a one-time password

Closing the viewer ends nothing. A connection that is cut is sought again until the viewer is closed
or Ctrl-C is pressed. Without TigerVNC's viewer the portal's link is printed. While no broker answers,
a desktop that was open on this computer is opened by the pass that ~/.local/state/abide keeps of it.";

#[derive(Debug, Args)]
pub struct ConnectArgs {
    /// The session's id, or its beginning
    #[arg(conflicts_with_all = ["new", "profile"])]
    pub session: Option<String>,
    /// Start another desktop, also if there is one
    #[arg(long)]
    pub new: bool,
    /// The kind of a desktop that is started
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Serve another VNC client on this Unix socket
    #[arg(long, value_name = "PATH", conflicts_with = "listen")]
    pub socket: Option<PathBuf>,
    /// Serve another VNC client on this port of this computer; port 0 takes a free one
    #[arg(long, value_name = "127.0.0.1:PORT")]
    pub listen: Option<SocketAddr>,
}

#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// Show sessions: one's own; for administrators everybody's
    List(JsonArg),
    /// End a session and every program in it
    End(SessionArgs),
    /// Stop tracking a session whose server cannot be reached
    Abandon(SessionArgs),
}

#[derive(Debug, Args)]
pub struct SessionArgs {
    /// The session's id, or its beginning
    pub session: String,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}
