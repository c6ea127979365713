//! A person who asks all the time, and how long the answers took.
//!
//! Reserves nothing: it asks for the way into a session that there is, or else for the list.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use abide_api::SessionState;
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
    session: Option<String>,
    samples: Arc<Mutex<Vec<Sample>>>,
    task: JoinHandle<()>,
}

/// What a person would have noticed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Noticed {
    calls: usize,
    failed: usize,
    /// From the fault to the first answer to a call made after it.
    again: Option<Duration>,
    /// The longest that one call took which was not over before the fault.
    longest: Duration,
}

impl Probe {
    /// Returns when some calls have been answered.
    pub(super) async fn start(api: Api) -> Result<Self, CommandError> {
        let sessions = api.sessions().await?.sessions;
        let me = api.account().await?.user;
        let mine = sessions.into_iter().filter(|it| it.user == me && it.reachable);
        let running = mine.filter(|it| it.state == SessionState::Running);
        let session = running.map(|it| it.id).next();
        let samples = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..BEFORE {
            ask(&api, session.as_deref()).await?;
        }
        let task = tokio::spawn(steadily(api, session.clone(), samples.clone()));
        Ok(Self { session, samples, task })
    }

    /// What is asked, in words.
    pub(super) fn what(&self) -> String {
        match &self.session {
            Some(session) => format!("the way back into session {session}"),
            None => "the list of sessions, for want of a session of your own".to_owned(),
        }
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

async fn steadily(api: Api, session: Option<String>, samples: Arc<Mutex<Vec<Sample>>>) {
    loop {
        let began = Instant::now();
        let answered = ask(&api, session.as_deref()).await.is_ok();
        let sample = Sample { began, ended: Instant::now(), answered };
        samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
        sleep(PAUSE).await;
    }
}

async fn ask(api: &Api, session: Option<&str>) -> Result<(), CommandError> {
    match session {
        Some(session) => drop(api.connect(session, &WishKey::random()).await?),
        None => drop(api.sessions().await?),
    }
    Ok(())
}

fn noticed(samples: &[Sample], fault: Instant) -> Noticed {
    let after = || samples.iter().filter(move |it| it.ended >= fault);
    let answered = after().filter(|it| it.answered && it.began >= fault);
    Noticed {
        calls: samples.len(),
        failed: samples.iter().filter(|it| !it.answered).count(),
        again: answered.map(|it| it.ended - fault).min(),
        longest: after().map(|it| it.ended - it.began).max().unwrap_or_default(),
    }
}

impl fmt::Display for Noticed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, failed, again, longest } = self;
        match again {
            Some(again) => writeln!(f, "Answered again {} ms after the fault.", again.as_millis())?,
            None => writeln!(f, "Not answered again while the drill watched.")?,
        }
        let longest = longest.as_millis();
        write!(f, "{calls} calls, {failed} failed; the longest took {longest} ms.")
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
        let expected = Noticed {
            calls: 5,
            failed: 1,
            again: Some(Duration::from_millis(420)),
            longest: Duration::from_millis(210),
        };
        assert_eq!(noticed(&samples, at(100)), expected);
        assert_eq!(noticed(&samples[..3], at(100)).again, None);
    }
}
