//! One call, and what an answer to it means.

use std::time::Duration;

use abide_api::{Problem, ProblemKind, Session};
use abide_config::BaseUrl;
use reqwest::{Method, StatusCode, header};

use crate::error::{CallError, Silence};

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub method: Method,
    pub path: &'a str,
    pub token: Option<&'a str>,
    /// The same for all tries of one wish.
    pub key: Option<&'a str>,
    pub body: Option<serde_json::Value>,
    pub length: Length,
}

/// How long the answer may take to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Short,
    /// It may wait for a host, or for a person's second factor.
    Long,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, token: None, key: None, body: None, length: Length::Short }
    }

    pub(crate) fn body(mut self, body: &impl serde::Serialize) -> Self {
        self.body = Some(serde_json::to_value(body).expect("the API's types are JSON"));
        self
    }
}

/// Why one broker's try is not an answer to give back.
pub(crate) enum Miss {
    /// Ask the next one.
    Silent(Silence, Option<Duration>),
    Final(CallError),
}

/// What came back.
pub(crate) struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

pub(crate) async fn exchange(request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    Ok(Answer { status: response.status(), retry_after, body: response.bytes().await?.to_vec() })
}

impl Answer {
    /// The body, or why it is none to give back.
    pub(crate) fn judge(self, url: &BaseUrl) -> Result<Vec<u8>, Miss> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let problem = serde_json::from_slice::<Problem>(&self.body).ok();
        if self.stands_in(problem.as_ref()) {
            let problem = problem.unwrap_or_else(|| ProblemKind::Unavailable.bare());
            let silence = Silence::NotNow(Box::new(problem));
            return Err(Miss::Silent(silence, self.retry_after));
        }
        Err(Miss::Final(match problem {
            Some(problem) => CallError::Refused {
                problem: Box::new(problem),
                session: self.session().map(Box::new),
            },
            None => CallError::Garbled { broker: url.clone() },
        }))
    }

    /// Whether this says only that nobody could answer: a proxy's word, or a broker's without a
    /// leader.
    fn stands_in(&self, problem: Option<&Problem>) -> bool {
        matches!(self.status.as_u16(), 502..=504)
            && problem.is_none_or(|it| it.known() == Some(ProblemKind::Unavailable))
    }

    fn session(&self) -> Option<Session> {
        #[derive(serde::Deserialize)]
        struct Beside {
            session: Session,
        }
        let beside: Beside = serde_json::from_slice(&self.body).ok()?;
        Some(beside.session)
    }
}
