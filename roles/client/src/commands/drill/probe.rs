//! A person who asks all the time, and how long the answers took.
//!
//! Reserves nothing: it asks for the way into a session that there is, or else for the list.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use abide_api::SessionState;
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::api::{Api, WishKey};
use crate::commands::CommandError;

/// Between two calls.
const PAUSE: Duration = Duration::from_millis(10);
/// So many answers come before the fault, for the client to know the brokers' lines.
const BEFORE: usize = 10;

/// One call.
#[derive(Debug, Clone, Copy)]
struct Sample {
    began: Instant,
    ended: Instant,
    answered: bool,
}

/// The asking, until it is ended or dropped.
#[derive(Debug)]
pub(super) struct Probe {
    asked: Asked,
    samples: Arc<Mutex<Vec<Sample>>>,
    task: JoinHandle<()>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "for", content = "session")]
pub(super) enum Asked {
    /// The way back into this session.
    Connect(String),
    /// The list of sessions, for want of one.
    Sessions,
}

/// What a person would have noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Noticed {
    pub(super) calls: usize,
    pub(super) failed: usize,
    /// From the fault to the first answer to a call made after it.
    pub(super) again_ms: Option<u128>,
    /// The longest that one call took which was not over before the fault.
    pub(super) longest_ms: u128,
}

impl Probe {
    /// Returns when some calls have been answered.
    pub(super) async fn start(api: Api) -> Result<Self, CommandError> {
        let sessions = api.sessions().await?.sessions;
        let me = api.account().await?.user;
        let mine = sessions.into_iter().filter(|it| it.user == me && it.reachable);
        let running = mine.filter(|it| it.state == SessionState::Running);
        let asked = running.map(|it| Asked::Connect(it.id)).next().unwrap_or(Asked::Sessions);
        let samples = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..BEFORE {
            ask(&api, &asked).await?;
        }
        let task = tokio::spawn(steadily(api, asked.clone(), samples.clone()));
        Ok(Self { asked, samples, task })
    }

    pub(super) fn asked(&self) -> Asked {
        self.asked.clone()
    }

    pub(super) fn answered_since(&self, fault: Instant) -> bool {
        self.samples().iter().any(|it| it.answered && it.began >= fault)
    }

    pub(super) async fn end(mut self, fault: Instant) -> Noticed {
        self.task.abort();
        // It has ended then, one way or the other.
        let _ = (&mut self.task).await;
        noticed(&self.samples(), fault)
    }

    fn samples(&self) -> std::sync::MutexGuard<'_, Vec<Sample>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn steadily(api: Api, asked: Asked, samples: Arc<Mutex<Vec<Sample>>>) {
    loop {
        let began = Instant::now();
        let answered = ask(&api, &asked).await.is_ok();
        let sample = Sample { began, ended: Instant::now(), answered };
        samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
        sleep(PAUSE).await;
    }
}

async fn ask(api: &Api, asked: &Asked) -> Result<(), CommandError> {
    match asked {
        Asked::Connect(session) => drop(api.connect(session, &WishKey::random()).await?),
        Asked::Sessions => drop(api.sessions().await?),
    }
    Ok(())
}

fn noticed(samples: &[Sample], fault: Instant) -> Noticed {
    let after = || samples.iter().filter(move |it| it.ended >= fault);
    let answered = after().filter(|it| it.answered && it.began >= fault);
    Noticed {
        calls: samples.len(),
        failed: samples.iter().filter(|it| !it.answered).count(),
        again_ms: answered.map(|it| (it.ended - fault).as_millis()).min(),
        longest_ms: after().map(|it| (it.ended - it.began).as_millis()).max().unwrap_or_default(),
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(session) => write!(f, "the way back into session {session}"),
            Self::Sessions => f.write_str("the list of sessions"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_runs_from_the_fault_to_the_first_answer_to_a_later_call() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let sample =
            |began, ended, answered| Sample { began: at(began), ended: at(ended), answered };
        let samples = [
            sample(0, 90, true),
            // Under way at the fault; its answer may have been on the line already.
            sample(95, 101, true),
            sample(110, 300, false),
            sample(310, 520, true),
            sample(530, 531, true),
        ];
        let expected = Noticed { calls: 5, failed: 1, again_ms: Some(420), longest_ms: 210 };
        assert_eq!(noticed(&samples, at(100)), expected);
        assert_eq!(noticed(&samples[..3], at(100)).again_ms, None);
    }
}
