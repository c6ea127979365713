//! Calls to whichever broker answers. One that does not is passed over for the next; when none
//! does, the call waits and goes round again, so that a failover costs time and no answer.
//!
//! ```text
//! call ──► first broker ──► answer
//!             │ the line breaks, two pulses missed, "not now"
//!             └──► at once the next … ──► after a whole round a wait ──► the first again
//! ```
//!
//! Every call made here may be repeated: reads by nature, ends and abandons because they change
//! nothing the second time, starts and connects by their Idempotency-Key, logins because the
//! answers that are held are given again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use abide_api::IDEMPOTENCY_KEY;
use abide_config::BaseUrl;
use serde::de::DeserializeOwned;

use crate::backoff;
use crate::call::{Call, Length, Miss, exchange};
use crate::error::{CallError, Silence};
use crate::http::{Trust, is_distrust};
use crate::pulse::Pulse;
use crate::store::KnownCluster;

/// How long a call goes on asking before it gives up, unless told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// What a short call may take before another broker is asked, though this one lives.
const SHORT: Duration = Duration::from_secs(5);
/// Between two rounds; between two brokers there is no wait.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// Also when a server asks for more: another may be back sooner.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The cluster's brokers, as far as they are known.
#[derive(Debug)]
pub struct Brokers {
    http: reqwest::Client,
    patience: Duration,
    /// INVARIANT: no URL twice; the first is the one that answered last.
    known: Mutex<Vec<Known>>,
}

/// One broker.
#[derive(Debug, Clone)]
struct Known {
    url: BaseUrl,
    origin: Origin,
    pulse: Arc<Pulse>,
}

/// Who named a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A person. It may be a floating address that no list names, so it is never forgotten.
    Person,
    /// The cluster, whose next list may leave it out.
    Cluster,
}

impl Brokers {
    /// These brokers, as a person named them; there must be at least one.
    ///
    /// # Errors
    /// When the pinned CA cannot be used.
    pub fn new(urls: Vec<BaseUrl>, trust: &Trust) -> Result<Self, reqwest::Error> {
        let brokers =
            Self { http: trust.client()?, patience: PATIENCE, known: Mutex::new(Vec::new()) };
        brokers.add(urls, Origin::Person);
        Ok(brokers)
    }

    /// Those that are remembered, in the order in which they are to be asked.
    ///
    /// # Errors
    /// When the pinned CA cannot be used.
    pub fn remembered(cluster: &KnownCluster) -> Result<Self, reqwest::Error> {
        let brokers = Self::new(Vec::new(), &cluster.trust)?;
        for url in &cluster.brokers {
            let named = cluster.named.contains(url);
            brokers.add([url.clone()], if named { Origin::Person } else { Origin::Cluster });
        }
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
        self.lock().iter().map(|known| known.url.clone()).collect()
    }

    /// Those of them that a person named.
    pub fn named(&self) -> Vec<BaseUrl> {
        let known = self.lock();
        let named = known.iter().filter(|known| known.origin == Origin::Person);
        named.map(|known| known.url.clone()).collect()
    }

    /// Takes the cluster's own list: adds what is new, and forgets what neither it nor a person names.
    pub fn learn(&self, urls: impl IntoIterator<Item = BaseUrl>) {
        let listed: Vec<BaseUrl> = urls.into_iter().collect();
        if listed.is_empty() {
            return;
        }
        self.lock().retain(|known| known.origin == Origin::Person || listed.contains(&known.url));
        self.add(listed, Origin::Cluster);
    }

    fn add(&self, urls: impl IntoIterator<Item = BaseUrl>, origin: Origin) {
        let mut known = self.lock();
        for url in urls {
            if !known.iter().any(|it| it.url == url) {
                let pulse = Arc::new(Pulse::new(self.http.clone(), &url));
                known.push(Known { url, origin, pulse });
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

    /// One try at this very broker, `within` this time.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        url: &BaseUrl,
        call: Call<'_>,
        within: Duration,
    ) -> Option<T> {
        let known = self.lock().iter().find(|known| known.url == *url).cloned()?;
        let body = self.once(&known, &call, within).await.ok()?;
        serde_json::from_slice(&body).ok()
    }

    async fn go_round(&self, call: &Call<'_>) -> Result<(BaseUrl, Vec<u8>), CallError> {
        let start = Instant::now();
        for round in 0.. {
            let mut last = (Silence::TimedOut, None);
            let all = self.lock().clone();
            for broker in &all {
                let left = self.patience.saturating_sub(start.elapsed());
                match self.once(broker, call, left).await {
                    Ok(body) => {
                        self.prefer(&broker.url);
                        return Ok((broker.url.clone(), body));
                    }
                    Err(Miss::Final(error)) => return Err(error),
                    Err(Miss::Silent(silence, retry_after)) => last = (silence, retry_after),
                }
            }
            let (silence, asked) = last;
            // What one of several asks for is about itself. By the time the round is over another
            // may lead.
            let asked = asked.filter(|_| round > 0 || all.len() == 1);
            let wait = asked
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
    async fn once(&self, broker: &Known, call: &Call<'_>, left: Duration) -> Result<Vec<u8>, Miss> {
        let url = &broker.url;
        let limit = match call.length {
            Length::Short => SHORT.min(left),
            Length::Long => left,
        };
        let answered = tokio::select! {
            answered = exchange(self.request(url, call)) => Some(answered),
            () = broker.pulse.stops() => None,
            () = tokio::time::sleep(limit) => None,
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

    fn prefer(&self, url: &BaseUrl) {
        let mut all = self.lock();
        if let Some(place) = all.iter().position(|known| known.url == *url) {
            all[..=place].rotate_right(1);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
