//! Why a broker's answer is not the one hoped for.

use abide_api::{Problem, ProblemKind, Session};
use abide_config::BaseUrl;

/// Why a call to the brokers gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// A broker said no.
    #[error("{}", said(problem))]
    Refused {
        /// What it said.
        problem: Box<Problem>,
        /// The session that stands in the way, where the broker shows it.
        session: Option<Box<Session>>,
    },
    /// None of the brokers answered within the patience.
    #[error("no broker answers ({})", list(brokers))]
    Silent {
        /// Those that were asked.
        brokers: Vec<BaseUrl>,
        /// What the last try failed with.
        #[source]
        cause: Silence,
    },
    /// A server showed a certificate that is not believed.
    #[error("the certificate of {broker} is not by a CA that is trusted here")]
    Distrusted {
        /// The server.
        broker: BaseUrl,
        /// What TLS says.
        #[source]
        cause: reqwest::Error,
    },
    /// An answer that this version does not understand.
    #[error("{broker} gave an answer that makes no sense here; is it an Abide broker?")]
    Garbled {
        /// The server.
        broker: BaseUrl,
    },
}

impl CallError {
    /// The kind of the refusal, if it is one.
    pub fn kind(&self) -> Option<ProblemKind> {
        match self {
            CallError::Refused { problem, .. } => problem.known(),
            _ => None,
        }
    }
}

/// Why one try gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Silence {
    /// Nothing listens, or the line broke.
    #[error("the connection failed")]
    Line(#[source] reqwest::Error),
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// Only the word that nobody can answer now.
    #[error("{}", said(.0))]
    NotNow(Box<Problem>),
}

/// A problem in one or two sentences.
fn said(problem: &Problem) -> String {
    match &problem.detail {
        Some(detail) => format!("{}: {detail}", problem.title),
        None => problem.title.clone(),
    }
}

fn list(brokers: &[BaseUrl]) -> String {
    let names: Vec<&str> = brokers.iter().map(BaseUrl::as_str).collect();
    names.join(", ")
}
