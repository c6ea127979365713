//! Why a session does not start.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use super::account::AccountError;
use super::pam::NoSession;
use super::plan::PlanError;

/// Which step failed, and why.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The request cannot be kept.
    #[error("the request is not right")]
    Plan(#[from] PlanError),
    /// The session's folder cannot be had.
    #[error("cannot have the session's folder {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// The keeper cannot become what it must be.
    #[error("cannot become a keeper")]
    Keeper(#[source] io::Error),
    /// There is no such person.
    #[error("cannot run as this user")]
    Account(#[from] AccountError),
    /// PAM says no, or does not work.
    #[error(transparent)]
    Pam(#[from] NoSession),
    /// PAM made somebody else of the user.
    #[error("PAM made {found} of user {asked}")]
    Renamed {
        /// Who was asked for.
        asked: String,
        /// Who came out.
        found: String,
    },
    /// The person's folders cannot be made.
    #[error("cannot make the person's folder {path}")]
    Home {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The files in the session's folder cannot be made.
    #[error("cannot write the session's files")]
    Files(#[source] io::Error),
    /// The display server's program cannot be run.
    #[error("cannot run the display server {program}")]
    RunServer {
        /// Its program.
        program: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// It ran, and ended or said nothing.
    #[error("the display server does not come up; it says: {log}")]
    Server {
        /// The end of its log.
        log: String,
        /// What was waited for.
        #[source]
        cause: io::Error,
    },
    /// The desktop's program is not there.
    #[error("there is no program {program} on this host")]
    NoProgram {
        /// As the profile names it.
        program: String,
    },
    /// The desktop's program cannot be run.
    #[error("cannot run {program}")]
    RunDesktop {
        /// As the profile names it.
        program: String,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The control socket cannot be served.
    #[error("cannot serve the control socket")]
    Control(#[source] io::Error),
}

impl StartError {
    /// What was being done, for a person.
    pub fn stage(&self) -> &'static str {
        match self {
            Self::Plan(_) => "reading the request",
            Self::Folder { .. } => "taking the session's folder",
            Self::Keeper(_) => "setting up the keeper",
            Self::Account(_) => "looking up the user",
            Self::Pam(_) | Self::Renamed { .. } => "opening the PAM session",
            Self::Home { .. } => "making the person's folders",
            Self::Files(_) => "writing the session's files",
            Self::RunServer { .. } | Self::Server { .. } => "starting the display server",
            Self::NoProgram { .. } | Self::RunDesktop { .. } => "starting the desktop",
            Self::Control(_) => "opening the control socket",
        }
    }

    /// The error and what caused it, in one line.
    pub fn detail(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}
