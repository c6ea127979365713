//! Whether a broker that owes an answer still lives: it is asked, on another connection, again and
//! again. Two questions without an answer are taken for its death.
//!
//! A question that is late is not a dead broker's: how long one may take goes by how long they took,
//! so that a slow network is borne. Calls that wait for one broker share its pulse.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use abide_config::BaseUrl;
use reqwest::StatusCode;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// A call that is answered sooner needs no pulse; from then on there is a beat this often.
const BEAT: Duration = Duration::from_millis(250);
/// The bounds of what one beat may take; the lower is [`BEAT`].
const AT_MOST: Duration = Duration::from_secs(2);
/// What a beat may take at a broker that was never heard: a TCP and a TLS handshake and the answer
/// over an intercontinental line.
const AT_FIRST: Duration = Duration::from_millis(600);
/// A lost packet costs about two round trips more.
const ROUND_TRIPS: u32 = 3;
/// So many beats in a row without an answer are the end.
const MISSES: u32 = 2;
/// A beat is listened for as long as this, to learn how slow the line is.
const LISTEN: Duration = Duration::from_secs(5);

/// A broker that lives may yet be cut off from the others. One that owes an answer for so long is
/// asked whether it serves.
const DOUBT_AFTER: Duration = Duration::from_secs(1);
const DOUBT_AGAIN: Duration = Duration::from_secs(1);

/// One broker's.
#[derive(Debug)]
pub(crate) struct Pulse {
    http: reqwest::Client,
    url: String,
    felt: Mutex<Felt>,
    /// Counts the answers.
    answers: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Felt {
    last_asked: Option<Instant>,
    /// Smoothed, with the weight of RFC 6298; `None` before the first answer.
    took: Option<Duration>,
}

impl Pulse {
    pub(crate) fn new(http: reqwest::Client, url: &BaseUrl) -> Self {
        Self { http, url: url.to_string(), felt: Mutex::default(), answers: watch::Sender::new(0) }
    }

    /// Returns once the broker no longer says that it lives, or says that it does not serve.
    pub(crate) async fn stops(self: &Arc<Self>) {
        tokio::select! {
            () = self.ends() => {}
            () = self.is_refused() => {}
        }
    }

    async fn ends(self: &Arc<Self>) {
        // Where nothing is known of the line yet, the first call shall find it out.
        if self.felt().took.is_some() {
            sleep(BEAT).await;
        }
        let mut answers = self.answers.subscribe();
        let mut misses = 0;
        while misses < MISSES {
            answers.borrow_and_update();
            let window = self.window();
            self.ask(window);
            let began = Instant::now();
            // The sender is this very pulse, so that it does not go.
            match timeout(window, answers.changed()).await {
                Ok(_) => misses = 0,
                Err(_) => misses += 1,
            }
            sleep(BEAT.saturating_sub(began.elapsed())).await;
        }
    }

    async fn is_refused(&self) {
        sleep(DOUBT_AFTER).await;
        loop {
            let asked = self.http.get(format!("{}/readyz", self.url)).timeout(LISTEN).send().await;
            if asked.is_ok_and(|it| it.status() == StatusCode::SERVICE_UNAVAILABLE) {
                return;
            }
            sleep(DOUBT_AGAIN).await;
        }
    }

    /// Sends a beat, unless another call's is younger than half of the window.
    fn ask(self: &Arc<Self>, window: Duration) {
        let now = Instant::now();
        let last = self.felt().last_asked.replace(now);
        if let Some(last) = last.filter(|last| now.duration_since(*last) < window / 2) {
            self.felt().last_asked = Some(last);
            return;
        }
        let this = self.clone();
        // It outlives the call, since a late answer teaches how slow the line is.
        tokio::spawn(async move {
            let beat = this.http.get(format!("{}/healthz", this.url)).timeout(LISTEN);
            // Any answer will do.
            if beat.send().await.is_ok() {
                this.learn(now.elapsed());
                this.answers.send_modify(|count| *count += 1);
            }
        });
    }

    /// What a beat may take now.
    fn window(&self) -> Duration {
        self.felt().took.map_or(AT_FIRST, |took| (took * ROUND_TRIPS).clamp(BEAT, AT_MOST))
    }

    fn learn(&self, took: Duration) {
        let mut felt = self.felt();
        felt.took = Some(match felt.took {
            None => took,
            Some(before) => (before * 7 + took) / 8,
        });
    }

    fn felt(&self) -> std::sync::MutexGuard<'_, Felt> {
        self.felt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
