//! Why a command failed, what to do next, and the exit code that tells it to scripts.

use std::io;
use std::path::PathBuf;

use abide_api::{ProblemKind, Session};
use abide_tls::Fingerprint;

use super::console::NoAnswer;
use super::drill::DrillError;
use super::words;
use crate::attach::{AttachError, EnterError};
use crate::contact::ContactError;
use crate::error::CallError;
use crate::login::LoginError;
use crate::passes::Desktop;
use crate::store::StoreError;

/// What a script learns from a command's end. The numbers stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Refused, or broken.
    Failed = 1,
    /// The command line or a configuration file is wrong.
    Usage = 2,
    /// Not logged in, or the login was refused.
    NotLoggedIn = 3,
    /// No broker answers, or the desktop's server cannot be reached from here.
    NoAnswer = 4,
    /// The session's server is not heard by any broker.
    SessionUnreachable = 5,
    /// The session is lost, or had ended before.
    SessionGone = 6,
    /// Another viewer took over.
    TakenOver = 7,
    /// Brokers answer, but none leads.
    NobodyLeads = 8,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No login is remembered, or it has expired.
    #[error("you are not logged in")]
    NotLoggedIn,
    /// Nothing says where the cluster is.
    #[error("no broker is known yet")]
    NoBroker,
    /// No user name was given and nobody can be asked.
    #[error("no user name was given")]
    NoUserName,
    /// The brokers.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The login.
    #[error(transparent)]
    Login(#[from] LoginError<NoAnswer>),
    /// The first meeting with a broker.
    #[error(transparent)]
    Contact(#[from] ContactError),
    /// The CA that was shown is not the one expected.
    #[error("the CA is not trusted: its SHA-256 is {0}")]
    CaNotTrusted(Fingerprint),
    /// The pinned CA cannot be used.
    #[error("TLS cannot be set up")]
    Tls(#[source] reqwest::Error),
    /// What is remembered.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No session is named so.
    #[error("no session of yours is named {0}")]
    NoSuchSession(String),
    /// Several are.
    #[error("{name} may mean {count} sessions")]
    Ambiguous {
        /// What was given.
        name: String,
        /// How many begin so.
        count: usize,
    },
    /// No broker is named so.
    #[error("no broker of this cluster is named {0}")]
    NoSuchBroker(String),
    /// Several are.
    #[error("{name} may mean {count} brokers")]
    AmbiguousBroker {
        /// What was given.
        name: String,
        /// How many begin so.
        count: usize,
    },
    /// No agent is named so.
    #[error("no agent of this cluster is named {0}")]
    NoSuchAgent(String),
    /// Several are.
    #[error("{name} may mean {count} agents")]
    AmbiguousAgent {
        /// What was given.
        name: String,
        /// How many are called so.
        count: usize,
    },
    /// Somebody put it back into service while it was watched.
    #[error("{0} is not drained any more: somebody cancelled it")]
    DrainCancelled(String),
    /// A look at the cluster found no leader.
    #[error("no broker leads now")]
    NobodyLeads,
    /// A drill cannot be done.
    #[error(transparent)]
    Drill(#[from] DrillError),
    /// What is wrong with a configuration of the cluster.
    #[error("the configuration has problems; nothing was changed\n{}", .0.join("\n"))]
    BadConfig(Vec<String>),
    /// Another configuration was taken while this one was edited.
    #[error("another configuration was taken meanwhile: {0}")]
    ConfigOvertaken(String),
    /// The person's editor.
    #[error("cannot edit with {editor}")]
    Editor {
        /// As it is set.
        editor: String,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// A file that was named.
    #[error("cannot read {}", path.display())]
    NoFile {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The person did not want it after all.
    #[error("nothing was changed")]
    Declined,
    /// It needs a yes, and nobody is at the terminal.
    #[error("nobody is here to ask: {0}")]
    NobodyToAsk(String),
    /// No broker hears the session's agent.
    #[error("{}", words::unreachable(.0))]
    SessionUnreachable(Box<Session>),
    /// The way in.
    #[error(transparent)]
    Enter(#[from] EnterError),
    /// The line.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The local end for a viewer.
    #[error("cannot open {place} for the viewer")]
    LocalEnd {
        /// A path, or an address.
        place: String,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Another viewer took over.
    #[error("your desktop was opened in another place, which took it over")]
    TakenOver,
    /// No broker serves, and another process here stands on the line of the desktop's pass.
    #[error("no broker answers, and {0} is open on this computer already")]
    OpenHere(Desktop),
    /// The session is lost.
    #[error("the desktop is lost{}", words::because(.0.as_deref()))]
    SessionLost(Option<String>),
    /// The pass ended and no new ticket was given.
    #[error("the way into this desktop is no longer valid; the desktop itself goes on")]
    PassRefused,
    /// Standard output.
    #[error("cannot write the answer")]
    Output(#[from] io::Error),
}

impl CommandError {
    /// The process's exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::NotLoggedIn | Self::CaNotTrusted(_) | Self::PassRefused => ExitCode::NotLoggedIn,
            Self::NoBroker | Self::NoUserName | Self::NoFile { .. } | Self::BadConfig(_) => {
                ExitCode::Usage
            }
            Self::Call(error) | Self::Login(LoginError::Call(error)) => of_call(error),
            Self::Login(LoginError::NoAnswer(_)) => ExitCode::NotLoggedIn,
            Self::Contact(ContactError::Unreachable { .. } | ContactError::NoLook { .. })
            | Self::Enter(EnterError::Unreachable { .. })
            | Self::OpenHere(_) => ExitCode::NoAnswer,
            Self::Enter(EnterError::Call(error)) => of_call(error),
            Self::SessionUnreachable(_) => ExitCode::SessionUnreachable,
            Self::SessionLost(_) => ExitCode::SessionGone,
            Self::TakenOver => ExitCode::TakenOver,
            Self::NobodyLeads | Self::Drill(DrillError::NobodyLeads) => ExitCode::NobodyLeads,
            Self::Contact(_)
            | Self::Tls(_)
            | Self::Store(_)
            | Self::NoSuchSession(_)
            | Self::Ambiguous { .. }
            | Self::NoSuchBroker(_)
            | Self::AmbiguousBroker { .. }
            | Self::NoSuchAgent(_)
            | Self::AmbiguousAgent { .. }
            | Self::DrainCancelled(_)
            | Self::Drill(_)
            | Self::Declined
            | Self::ConfigOvertaken(_)
            | Self::Editor { .. }
            | Self::NobodyToAsk(_)
            | Self::Enter(_)
            | Self::Attach(_)
            | Self::LocalEnd { .. }
            | Self::Output(_) => ExitCode::Failed,
        }
    }

    /// What to do next, where there is something.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            Self::NoBroker => "Name one: abide login --broker https://desk.example.org".to_owned(),
            Self::NoUserName => "Give one with --username.".to_owned(),
            Self::NotLoggedIn | Self::PassRefused => "Log in: abide login".to_owned(),
            Self::CaNotTrusted(_) => "Ask the cluster's administrator for the right fingerprint: \
                 `abide cluster status` on a broker shows it."
                .to_owned(),
            Self::NoSuchSession(_) => "Your sessions: abide session list".to_owned(),
            Self::NoSuchBroker(_) | Self::AmbiguousBroker { .. } => {
                "The brokers: abide cluster status".to_owned()
            }
            Self::NoSuchAgent(_) => "The agents: abide agent list".to_owned(),
            Self::AmbiguousAgent { .. } => {
                "Give its id: abide agent list --json shows it.".to_owned()
            }
            Self::ConfigOvertaken(_) => {
                "See what is in force now (abide config diff FILE), and apply yours again: abide config apply FILE".to_owned()
            }
            Self::Editor { .. } => "Set EDITOR to one that is installed.".to_owned(),
            Self::NobodyLeads | Self::Drill(DrillError::NobodyLeads) => {
                "A majority of the brokers must run and reach each other.".to_owned()
            }
            Self::Drill(error) => error.advice()?,
            Self::Ambiguous { .. } => {
                "Give more of its id; `abide session list` shows it whole.".to_owned()
            }
            Self::SessionUnreachable(session) => words::ways_on(session),
            Self::NobodyToAsk(_) => "To agree beforehand: --yes".to_owned(),
            Self::OpenHere(_) => "Close it there first: only a broker can move it.".to_owned(),
            Self::TakenOver => "Take it back: abide connect".to_owned(),
            Self::SessionLost(_) => "Start another: abide connect --new".to_owned(),
            Self::Call(error)
            | Self::Login(LoginError::Call(error))
            | Self::Enter(EnterError::Call(error)) => of_refusal(error)?.to_owned(),
            Self::Enter(EnterError::Unreachable { .. }) => {
                "The brokers reach it, so the fault is likely in the network between it and this \
                 computer. The desktop goes on meanwhile."
                    .to_owned()
            }
            _ => return None,
        })
    }
}

fn of_call(error: &CallError) -> ExitCode {
    match (error, error.kind()) {
        (CallError::Silent { .. }, _) => ExitCode::NoAnswer,
        (_, Some(ProblemKind::NotLoggedIn | ProblemKind::LoginRefused)) => ExitCode::NotLoggedIn,
        (_, Some(ProblemKind::SessionUnreachable)) => ExitCode::SessionUnreachable,
        (_, Some(ProblemKind::SessionEnded)) => ExitCode::SessionGone,
        _ => ExitCode::Failed,
    }
}

fn of_refusal(error: &CallError) -> Option<&'static str> {
    match (error, error.kind()) {
        (CallError::Silent { .. }, _) => {
            Some("Is this computer's network up? Desktops that are open go on without any broker.")
        }
        (CallError::Distrusted { .. }, _) => Some(
            "If the cluster was made anew: abide logout --forget, then abide login. Otherwise \
             somebody may stand in between.",
        ),
        (_, Some(ProblemKind::NotLoggedIn)) => Some("Log in: abide login"),
        (_, Some(ProblemKind::NoRoomElsewhere)) => Some("To drain it all the same: --force"),
        (_, Some(ProblemKind::SessionEnded)) => Some("Start another: abide connect --new"),
        _ => None,
    }
}
