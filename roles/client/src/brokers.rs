//! Calls to whichever broker answers. One that does not is passed over for the next; when none
//! does, the call waits and goes round again, so that a failover costs time and no answer.
//!
//! Every call made here may be repeated: reads by nature, ends and abandons because they change
//! nothing the second time, starts and connects by their Idempotency-Key, logins because the
//! answers that are held are given again.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use abide_api::{IDEMPOTENCY_KEY, Problem, ProblemKind, Session};
use abide_config::BaseUrl;
use reqwest::{Method, StatusCode, header};
use serde::de::DeserializeOwned;

use crate::backoff;
use crate::error::{CallError, Silence};
use crate::http::{Trust, is_distrust};

/// How long a call goes on asking before it gives up, unless told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// What a short call may take before another broker is asked.
const SHORT: Duration = Duration::from_secs(5);
/// During a long call the broker is asked now and then whether it lives, so that a host that was
/// cut off is noticed all the same.
const PULSE_EVERY: Duration = Duration::from_secs(3);
const PULSE_WITHIN: Duration = Duration::from_secs(2);
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Also when a server asks for more: another may be back sooner.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The cluster's brokers, as far as they are known.
#[derive(Debug)]
pub struct Brokers {
    http: reqwest::Client,
    patience: Duration,
    /// INVARIANT: no URL twice; the first is the one that answered last.
    urls: Mutex<Vec<BaseUrl>>,
}

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
    /// It may wait for a host; a pulse shows whether the broker lives.
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
enum Miss {
    /// Ask the next one.
    Silent(Silence, Option<Duration>),
    Final(CallError),
}

impl Brokers {
    /// These brokers; `urls` must name at least one.
    ///
    /// # Errors
    /// When the pinned CA cannot be used.
    pub fn new(urls: Vec<BaseUrl>, trust: &Trust) -> Result<Self, reqwest::Error> {
        let brokers =
            Self { http: trust.client()?, patience: PATIENCE, urls: Mutex::new(Vec::new()) };
        brokers.learn(urls);
        Ok(brokers)
    }

    /// The same with another bound on how long a call goes on asking.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Those known, the one that answered last first.
    pub fn urls(&self) -> Vec<BaseUrl> {
        self.lock().clone()
    }

    /// Adds brokers. Takes none away: the first may be a floating address that no list names.
    pub fn learn(&self, urls: impl IntoIterator<Item = BaseUrl>) {
        let mut known = self.lock();
        for url in urls {
            if !known.contains(&url) {
                known.push(url);
            }
        }
    }

    /// The client that these calls are made with; agents are reached with it too.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The answer's JSON.
    pub(crate) async fn call<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, CallError> {
        let (broker, body) = self.go_round(&call).await?;
        serde_json::from_slice(&body).map_err(|_| CallError::Garbled { broker })
    }

    /// For calls whose answer is empty.
    pub(crate) async fn command(&self, call: Call<'_>) -> Result<(), CallError> {
        self.go_round(&call).await.map(drop)
    }

    async fn go_round(&self, call: &Call<'_>) -> Result<(BaseUrl, Vec<u8>), CallError> {
        let start = Instant::now();
        for round in 0.. {
            let mut last = (Silence::TimedOut, None);
            for url in self.urls() {
                let left = self.patience.saturating_sub(start.elapsed());
                match self.once(&url, call, left).await {
                    Ok(body) => {
                        self.prefer(&url);
                        return Ok((url, body));
                    }
                    Err(Miss::Final(error)) => return Err(error),
                    Err(Miss::Silent(silence, retry_after)) => last = (silence, retry_after),
                }
            }
            let (silence, retry_after) = last;
            let wait = retry_after
                .unwrap_or_else(|| backoff::wait(round, FIRST_WAIT, LONGEST_WAIT))
                .min(LONGEST_WAIT);
            if start.elapsed() + wait > self.patience {
                return Err(CallError::Silent { brokers: self.urls(), cause: silence });
            }
            tokio::time::sleep(wait).await;
        }
        unreachable!("the rounds end by their return")
    }

    /// One try at one broker.
    async fn once(&self, url: &BaseUrl, call: &Call<'_>, left: Duration) -> Result<Vec<u8>, Miss> {
        let exchange = exchange(self.request(url, call));
        let answered = match call.length {
            Length::Short => tokio::time::timeout(SHORT.min(left), exchange).await.ok(),
            Length::Long => tokio::select! {
                answered = exchange => Some(answered),
                () = self.pulse_stops(url) => None,
                () = tokio::time::sleep(left) => None,
            },
        };
        match answered {
            None => Err(Miss::Silent(Silence::TimedOut, None)),
            Some(Err(error)) if is_distrust(&error) => {
                Err(Miss::Final(CallError::Distrusted { broker: url.clone(), cause: error }))
            }
            Some(Err(error)) => Err(Miss::Silent(Silence::Line(error), None)),
            Some(Ok(answer)) => answer.judge(url),
        }
    }

    fn request(&self, url: &BaseUrl, call: &Call<'_>) -> reqwest::RequestBuilder {
        let url = format!("{url}{}", call.path);
        let mut request = self.http.request(call.method.clone(), url);
        if let Some(token) = call.token {
            request = request.bearer_auth(token);
        }
        if let Some(key) = call.key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        request
    }

    /// Returns once the broker no longer says that it lives.
    async fn pulse_stops(&self, url: &BaseUrl) {
        loop {
            tokio::time::sleep(PULSE_EVERY).await;
            let beat = self.http.get(format!("{url}/healthz")).send();
            if !matches!(tokio::time::timeout(PULSE_WITHIN, beat).await, Ok(Ok(_))) {
                return;
            }
        }
    }

    fn prefer(&self, url: &BaseUrl) {
        let mut urls = self.lock();
        if let Some(place) = urls.iter().position(|known| known == url) {
            urls[..=place].rotate_right(1);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<BaseUrl>> {
        self.urls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

async fn exchange(request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    Ok(Answer { status: response.status(), retry_after, body: response.bytes().await?.to_vec() })
}

impl Answer {
    fn judge(self, url: &BaseUrl) -> Result<Vec<u8>, Miss> {
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
