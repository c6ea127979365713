//! How long after a fault the first reservation, and the first `connect`, is acknowledged again.
//!
//! One client that tries, fails and waits would tell its own waits. So a new call is begun every
//! few milliseconds, each by the product's client with all its tries; the first acknowledgement of
//! a call begun after the fault counts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use abide_api::{StartRequest, Want};
use abide_client::{Api, WishKey};
use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// What is tried.
#[derive(Debug, Clone)]
pub enum Try {
    /// A new session each time. Its desktop's start is in the answer's time, some 50 ms.
    Start,
    /// A way into this session.
    Connect(String),
}

/// Between two tries.
const CONNECT_EVERY: Duration = Duration::from_millis(10);
/// A start costs a display server.
const START_EVERY: Duration = Duration::from_millis(50);
/// So many starts wait at once; the longer it takes, the less their distance matters.
const MOST_STARTS: usize = 6;
const MOST_CONNECTS: usize = 300;

/// What a probe found.
#[derive(Debug)]
pub struct Found {
    /// From the fault to the acknowledgement.
    pub after: Duration,
    /// The sessions that were started for it.
    pub sessions: Vec<String>,
    /// Calls that failed for good.
    pub failed: Vec<String>,
}

/// Tries from now on; the fault was at `fault`. Returns when all that was begun has been answered.
///
/// # Errors
/// When nothing is acknowledged within `limit`.
pub async fn probe(
    api: Arc<Api>,
    what: Try,
    fault: Instant,
    limit: Duration,
) -> anyhow::Result<Found> {
    let (every, most) = match what {
        Try::Start => (START_EVERY, MOST_STARTS),
        Try::Connect(_) => (CONNECT_EVERY, MOST_CONNECTS),
    };
    let mut calls = JoinSet::new();
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut first, mut sessions, mut failed) = (None, Vec::new(), Vec::new());
    while first.is_none() || !calls.is_empty() {
        tokio::select! {
            _ = ticks.tick(), if first.is_none() && calls.len() < most => {
                let late = fault.elapsed() > limit;
                anyhow::ensure!(!late, "{what:?}: nothing acknowledged within {limit:?}: {failed:?}");
                calls.spawn(call(api.clone(), what.clone()));
            }
            Some(answer) = calls.join_next() => match answer? {
                Ok((session, at)) => {
                    first.get_or_insert(at);
                    sessions.push(session);
                }
                Err(error) => failed.push(format!("{error:#}")),
            }
        }
    }
    let after = first.context("nothing was acknowledged")? - fault;
    if let Try::Connect(_) = what {
        sessions.clear();
    }
    Ok(Found { after, sessions, failed })
}

async fn call(api: Arc<Api>, what: Try) -> anyhow::Result<(String, Instant)> {
    let key = WishKey::random();
    let reply = match what {
        Try::Start => {
            let request = StartRequest { profile: None, want: Want::Start };
            api.start(&request, &key).await?
        }
        Try::Connect(session) => api.connect(&session, &key).await?,
    };
    Ok((reply.session.id, Instant::now()))
}
