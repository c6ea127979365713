//! Every way in which a request can fail, and what the person is told.

use abide_api::{PROBLEM_JSON, Problem, ProblemKind, UnreachableProblem};
use abide_raft::{ProposeError, ReadError};
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};

/// A refused request.
#[derive(Debug)]
pub enum Refused {
    /// With a problem document.
    Problem(Box<Problem>),
    /// The session exists but cannot be reached; it stands beside the problem.
    Unreachable(Box<UnreachableProblem>),
    /// This broker does not lead, or not any more: another may do it.
    NotLeader,
}

/// Seconds after which a client should try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<ProposeError> for Refused {
    fn from(cause: ProposeError) -> Self {
        match cause {
            ProposeError::DiskFull { .. } => ProblemKind::DiskFull
                .because("Sessions that exist go on; an administrator must free disk space.")
                .into(),
            ProposeError::TooLarge { .. } => {
                ProblemKind::TooLarge.because(cause.to_string()).into()
            }
            ProposeError::Unspoken(_) => ProblemKind::Conflict.because(cause.to_string()).into(),
            ProposeError::NotLeader { .. } => Self::NotLeader,
            ProposeError::Busy
            | ProposeError::Unknown
            | ProposeError::Stopping
            | ProposeError::Failed(_) => ProblemKind::Unavailable.because(cause.to_string()).into(),
        }
    }
}

impl From<ReadError> for Refused {
    fn from(cause: ReadError) -> Self {
        ProblemKind::Unavailable.because(cause.to_string()).into()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, body) = match self {
            Self::NotLeader => {
                let detail = "No broker leads at the moment, or it does not answer. Try again.";
                return Self::from(ProblemKind::Unavailable.because(detail)).into_response();
            }
            Self::Problem(problem) => (problem.status, Json(problem).into_response()),
            Self::Unreachable(it) => (it.problem.status, Json(it).into_response()),
        };
        let mut response = body;
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if matches!(status, 429 | 503) {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}
