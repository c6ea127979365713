//! The command line: its words, their help, nothing else.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use abide_api::JoinRole;
use abide_client::commands::Drill;
use abide_config::BaseUrl;
use abide_telemetry::LogFormat;
use abide_tls::Fingerprint;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused, or broken
  2  the command line or a configuration file is wrong
  3  not logged in, or the login was refused
  4  no broker answers, or the desktop's server cannot be reached from here
  5  the session's server is not heard by any broker
  6  the session is lost, or had ended before
  7  another viewer took the session over
  8  brokers answer, but none leads

Examples:
  abide login --broker https://desk.example.org
  abide connect
  abide session list --json";

/// Linux desktops that stay.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Log in to a cluster
    #[command(after_help = LOGIN_EXAMPLES)]
    Login(LoginArgs),
    /// Log out; desktops go on
    Logout(LogoutArgs),
    /// Open a desktop: back to the one there is, or a new one
    #[command(after_help = CONNECT_EXAMPLES)]
    Connect(ConnectArgs),
    /// List, end or abandon sessions
    #[command(subcommand)]
    Session(SessionCommand),
    /// See the cluster; let machines join it
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Run this machine's broker, or make a cluster
    #[command(args_conflicts_with_subcommands = true, after_help = BROKER_EXAMPLES)]
    Broker(BrokerArgs),
    /// Run this machine's agent, join a cluster, or list agents
    #[command(args_conflicts_with_subcommands = true, after_help = AGENT_EXAMPLES)]
    Agent(AgentArgs),
    /// Manage the users file on a broker's machine
    User(UserArgs),
    /// Look whether this host is set up right, and tell how to mend what is not
    #[command(after_help = DOCTOR_HELP)]
    Doctor(DoctorArgs),
    /// Write a shell's completions of this command line
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages of this command line
    #[command(hide = true)]
    Manual {
        /// An existing folder
        folder: PathBuf,
    },
}

const LOGIN_EXAMPLES: &str = "\
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

const CONNECT_EXAMPLES: &str = "\
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

#[derive(Debug, Args)]
pub struct JsonArg {
    /// Write the API's JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show the brokers, who leads, and how many may fail
    Status(ClusterStatusArgs),
    /// Take a broker that is gone for good out of the cluster (administrators)
    #[command(after_help = REMOVE_HELP)]
    Remove(RemoveArgs),
    /// Let this host's broker fail on purpose, and tell what people would have noticed
    #[command(after_help = DRILL_HELP)]
    Drill(DrillArgs),
    /// Make a one-time token with which a machine joins (administrators)
    Token(TokenArgs),
    /// See and steer the making anew of a lost table (administrators)
    #[command(subcommand)]
    Recover(RecoverCommand),
}

#[derive(Debug, Subcommand)]
pub enum RecoverCommand {
    /// Show which agents have reported
    Status(JsonArg),
    /// Start no new session before these agents have reported
    Expect {
        /// Their names or ids
        #[arg(required = true, value_name = "AGENT")]
        agents: Vec<String>,
    },
    /// Start new sessions, whoever has not reported
    Go,
    /// Vouch for the sessions that an agent has on orders which this cluster cannot check
    Confirm {
        /// Its name or id
        agent: String,
    },
}

#[derive(Debug, Args)]
pub struct ClusterStatusArgs {
    #[command(flatten)]
    pub json: JsonArg,
    /// Look again every second, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
}

const REMOVE_HELP: &str = "\
It is refused where the brokers that are left, or those of them that can be reached, would be no
majority: add one first, or bring one back. What the removed broker has signed counts no more.";

#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// The broker's id, its beginning, or its URL
    pub broker: String,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

const DRILL_HELP: &str = "\
Run it on the broker's own host, as root or as the broker's user, after abide login there. It hurts
that host's broker only, asks before (without a terminal it needs --yes), refuses where the cluster could
not bear it, and starts nothing: that is for the service manager. Meanwhile it asks, one call after the
other, for the way back into a session of yours (or for the list of sessions), and prints what came of that.

Exit codes: 0 done and told; 1 refused; 4 no broker answers; 8 none leads";

#[derive(Debug, Args)]
pub struct DrillArgs {
    /// What happens
    pub drill: DrillName,
    /// The configuration of this host's broker
    #[arg(long, value_name = "FILE", default_value = BROKER_CONFIG)]
    pub config: PathBuf,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    #[command(flatten)]
    pub json: JsonArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum DrillName {
    /// The leader's process is killed (SIGKILL)
    LeaderKill,
    /// The leader is stopped in order (SIGTERM)
    LeaderStop,
    /// The leader's process stands still for ten seconds
    LeaderPause,
    /// A follower's process is killed (SIGKILL)
    FollowerKill,
}

impl From<DrillName> for Drill {
    fn from(name: DrillName) -> Self {
        match name {
            DrillName::LeaderKill => Drill::LeaderKill,
            DrillName::LeaderStop => Drill::LeaderStop,
            DrillName::LeaderPause => Drill::LeaderPause,
            DrillName::FollowerKill => Drill::FollowerKill,
        }
    }
}

#[derive(Debug, Args)]
pub struct TokenArgs {
    /// What the machine is to be
    pub role: Role,
    /// For how long the token is good, such as 30m
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub valid_for: Option<Duration>,
    #[command(flatten)]
    pub json: JsonArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Role {
    /// It runs desktops
    Agent,
    /// It keeps the table
    Broker,
}

impl From<Role> for JoinRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Agent => JoinRole::Agent,
            Role::Broker => JoinRole::Broker,
        }
    }
}

const BROKER_EXAMPLES: &str = "\
Examples:
  abide broker init --public-url https://desk.example.org
                                               makes a cluster and its first broker
  abide broker join --broker desk.example.org:7443 --token-file token
                                               makes this machine a further broker
  abide broker                                 runs it, until SIGTERM";

#[derive(Debug, Args)]
pub struct BrokerArgs {
    #[command(subcommand)]
    pub command: Option<BrokerCommand>,
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = BROKER_CONFIG)]
    pub config: PathBuf,
    #[command(flatten)]
    pub log: LogArgs,
}

/// Where a broker's configuration lies.
pub const BROKER_CONFIG: &str = "/etc/abide/broker.toml";

#[derive(Debug, Subcommand)]
pub enum BrokerCommand {
    /// Make a cluster: its CA, its keys, its first broker
    Init(InitArgs),
    /// Join a cluster as a further broker, by a one-time token: `abide cluster token broker`
    Join(BrokerJoinArgs),
    /// Remove the service address from this host, after its broker was killed (systemd's ExecStopPost)
    ReleaseAddress(ReleaseAddressArgs),
    /// All brokers' data are lost, this one's identity is not: its next start makes the table anew
    Recover(RecoverArgs),
    /// Write the recovery bundle: the cluster's keys under a passphrase, to be kept elsewhere
    Bundle(BundleArgs),
    /// Write the description of the HTTP interface (OpenAPI, JSON)
    Openapi,
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// The configuration file; written if it is missing
    #[arg(long, value_name = "FILE", default_value = BROKER_CONFIG)]
    pub config: PathBuf,
    /// Where browsers will reach the broker; for a configuration file that does not say it
    #[arg(long, value_name = "URL")]
    pub public_url: Option<BaseUrl>,
    /// Write the recovery bundle there: the cluster's keys under a passphrase, to be kept elsewhere
    #[arg(long, value_name = "FILE", conflicts_with = "recover")]
    pub recovery_bundle: Option<PathBuf>,
    /// All brokers are lost: make the first one anew from this recovery bundle
    #[arg(long, value_name = "FILE", conflicts_with = "rebuild")]
    pub recover: Option<PathBuf>,
    /// All brokers and their keys are lost: make a new cluster, for agents that join it again
    #[arg(long)]
    pub rebuild: bool,
    /// The file of the bundle's passphrase; - is standard input; asked for if absent
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = BROKER_CONFIG)]
    pub config: PathBuf,
}

#[derive(Debug, Args)]
pub struct BundleArgs {
    /// Where it goes; must not exist yet
    pub file: PathBuf,
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = BROKER_CONFIG)]
    pub config: PathBuf,
    /// The file of its passphrase; - is standard input; asked for if absent
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct BrokerJoinArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = BROKER_CONFIG)]
    pub config: PathBuf,
    /// Where browsers will reach the broker; for a configuration file that does not say it
    #[arg(long, value_name = "URL")]
    pub public_url: Option<BaseUrl>,
    /// A broker's address for agents; more may be given
    #[arg(long, value_name = "HOST:PORT", required = true)]
    pub broker: Vec<String>,
    /// The token's file; - is standard input; asked for if absent
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ReleaseAddressArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = BROKER_CONFIG)]
    pub config: PathBuf,
}

const AGENT_EXAMPLES: &str = "\
Examples:
  abide agent join --broker desk.example.org:7443 --token-file token
                                               joins the cluster, once
  abide agent                                  runs it, until SIGTERM; desktops go on
  abide agent list";

#[derive(Debug, Args)]
pub struct AgentArgs {
    #[command(subcommand)]
    pub command: Option<AgentCommand>,
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = AGENT_CONFIG)]
    pub config: PathBuf,
    #[command(flatten)]
    pub log: LogArgs,
}

/// Where an agent's configuration lies.
pub const AGENT_CONFIG: &str = "/etc/abide/agent.toml";

#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Join a cluster by a one-time token: `abide cluster token agent`
    Join(JoinArgs),
    /// Show the agents
    List(JsonArg),
}

#[derive(Debug, Args)]
pub struct JoinArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = AGENT_CONFIG)]
    pub config: PathBuf,
    /// Where browsers will reach this machine's desktops; for a configuration file that does not say it
    #[arg(long, value_name = "URL")]
    pub public_url: Option<BaseUrl>,
    /// What is written for the launcher, as root
    #[arg(long, value_name = "FILE", default_value = abide_agent::LAUNCHER_ENV)]
    pub launcher_env: PathBuf,
    /// A broker's address for agents; more may be given
    #[arg(long, value_name = "HOST:PORT", required = true)]
    pub broker: Vec<String>,
    /// The token's file; - is standard input; asked for if absent
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Leave the cluster that this agent belongs to, whose brokers and keys are lost; desktops go on
    #[arg(long)]
    pub replace_cluster: bool,
}

#[derive(Debug, Args)]
pub struct LogArgs {
    /// What is logged: a level, or a filter such as abide_raft=debug,warn
    #[arg(long, value_name = "FILTER", env = "ABIDE_LOG")]
    pub log: Option<String>,
    /// How log lines look: human or json
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub log_format: LogFormat,
}

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

const DOCTOR_HELP: &str = "\
Run it as root. It looks at the broker, the agent or both, whichever was begun to be set up here, and
changes nothing.

Exit codes: 0 nothing is wrong, warnings apart; 1 something is";

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Look at a broker, with this configuration file
    #[arg(long, value_name = "FILE")]
    pub broker_config: Option<PathBuf>,
    /// Look at an agent, with this configuration file
    #[arg(long, value_name = "FILE")]
    pub agent_config: Option<PathBuf>,
    #[command(flatten)]
    pub json: JsonArg,
}
