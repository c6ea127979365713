//! Problems as responses, and the headers that every response has.

use abide_api::{PROBLEM_JSON, Problem, ProblemKind};
use axum::http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::owner::Denied;

/// A problem document to answer with.
#[derive(Debug)]
pub(super) struct Failure(Problem);

impl Failure {
    pub(super) fn of(kind: ProblemKind) -> Self {
        Self(kind.bare())
    }

    pub(super) fn because(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self(kind.because(detail))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self.0)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// A denial, as far as its reason is the bearer's business.
pub(super) fn failure(denied: &Denied) -> Failure {
    let kind = match denied {
        Denied::Unknown => ProblemKind::NotFound,
        Denied::Ended(_) => ProblemKind::SessionEnded,
        Denied::Ticket | Denied::Replayed | Denied::WrongUser | Denied::Pass => {
            ProblemKind::PassRefused
        }
        Denied::NotNow => ProblemKind::Unavailable,
        Denied::TooMany => ProblemKind::Conflict,
        Denied::DiskFull => ProblemKind::DiskFull,
    };
    Failure::because(kind, denied.to_string())
}

pub(super) fn status(denied: &Denied) -> StatusCode {
    let status = failure(denied).0.status;
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// What holds for whatever has no stricter headers of its own.
const DEFAULTS: [(&str, &str); 5] = [
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];

pub(super) async fn harden(mut response: Response) -> Response {
    for (name, value) in DEFAULTS {
        let headers = response.headers_mut();
        headers.entry(HeaderName::from_static(name)).or_insert(HeaderValue::from_static(value));
    }
    response
}
