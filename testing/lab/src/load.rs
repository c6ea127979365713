//! People who log in, start, connect and end, all the time, by the product's own client.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use abide_api::{StartRequest, Want};
use abide_client::{Api, WishKey};
use abide_cluster::TestUser;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::people::People;

/// What a person did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Logged in.
    Login,
    /// Started a session.
    Start,
    /// Asked for a way into it.
    Connect,
    /// Ended it.
    End,
}

/// One call, with all its tries.
#[derive(Debug, Clone, Serialize)]
pub struct Done {
    /// Who.
    pub user: String,
    /// What.
    pub verb: Verb,
    /// When it began, milliseconds after the load did.
    pub began_ms: f64,
    /// When its answer came.
    pub ended_ms: f64,
    /// The session that it was about, where known.
    pub session: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
}

/// People at work, until told to stop.
#[derive(Debug)]
pub struct Load {
    began: Instant,
    done: Arc<Mutex<Vec<Done>>>,
    stop: watch::Sender<bool>,
    people: JoinSet<()>,
}

/// Between two things that one person does.
const PAUSE: Duration = Duration::from_millis(150);

impl Load {
    /// Lets these people begin.
    pub fn begin(people: &Arc<People>, users: &[TestUser]) -> Self {
        let mut load = Self {
            began: Instant::now(),
            done: Arc::default(),
            stop: watch::Sender::new(false),
            people: JoinSet::new(),
        };
        for user in users {
            let person = Person {
                user: user.clone(),
                people: people.clone(),
                began: load.began,
                done: load.done.clone(),
            };
            load.people.spawn(person.live(load.stop.subscribe()));
        }
        load
    }

    /// How many calls have been answered.
    pub fn answered(&self) -> usize {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Lets everybody finish what they are at; gives what was done.
    pub async fn finish(mut self) -> Vec<Done> {
        self.stop.send_replace(true);
        while self.people.join_next().await.is_some() {}
        std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Person {
    user: TestUser,
    people: Arc<People>,
    began: Instant,
    done: Arc<Mutex<Vec<Done>>>,
}

impl Person {
    async fn live(self, stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            if let Some(api) = self.log_in().await {
                self.use_a_desktop(&api, &stop).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn log_in(&self) -> Option<Api> {
        let began = Instant::now();
        let outcome = self.people.log_in(&self.user).await;
        self.note(Verb::Login, began, None, outcome)
    }

    /// The last session of each person is left alive when all stop.
    async fn use_a_desktop(&self, api: &Api, stop: &watch::Receiver<bool>) {
        let request = StartRequest { profile: None, want: Want::Start };
        let began = Instant::now();
        let outcome = api.start(&request, &WishKey::random()).await;
        let session = outcome.as_ref().ok().map(|reply| reply.session.id.clone());
        self.note(Verb::Start, began, session.clone(), outcome.map_err(Into::into));
        let Some(session) = session else { return };
        for _ in 0..2 {
            tokio::time::sleep(PAUSE).await;
            let began = Instant::now();
            let outcome = api.connect(&session, &WishKey::random()).await;
            self.note(Verb::Connect, began, Some(session.clone()), outcome.map_err(Into::into));
        }
        if *stop.borrow() {
            return;
        }
        let began = Instant::now();
        let outcome = api.end(&session).await;
        self.note(Verb::End, began, Some(session), outcome.map_err(Into::into));
    }

    fn note<T>(
        &self,
        verb: Verb,
        began: Instant,
        session: Option<String>,
        outcome: anyhow::Result<T>,
    ) -> Option<T> {
        let (value, error) = match outcome {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        let since = |at: Instant| (at - self.began).as_secs_f64() * 1e3;
        let (user, began_ms, ended_ms) =
            (self.user.name.clone(), since(began), since(Instant::now()));
        let done = Done { user, verb, began_ms, ended_ms, session, error };
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push(done);
        value
    }
}
