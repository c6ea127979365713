//! Many people who start a session each within some seconds, with tokens in hand.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use abide_api::{IDEMPOTENCY_KEY, Session, SessionReply, StartRequest, Want};
use abide_auth::{Accepted, Issuer};
use abide_model::Timestamp;
use abide_ticket::Role;
use abide_tls::BrokerIdentity;
use anyhow::{Context, bail};
use reqwest::StatusCode;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::Cluster;

/// How long a person tries again before the start counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// A storm of starts.
#[derive(Debug, Clone, Copy)]
pub struct Storm {
    /// How many people.
    pub people: usize,
    /// They come evenly, the last at the end of it.
    pub within: Duration,
}

/// What became of one start.
#[derive(Debug, Clone)]
pub struct Started {
    /// Whose.
    pub user: String,
    /// The session, which ran when the answer came.
    pub session: Session,
    /// When it was asked for first.
    pub asked: Instant,
    /// Until the answer.
    pub took: Duration,
    /// How often a broker could not answer before one did.
    pub repeats: u32,
}

impl Storm {
    /// Runs it against all brokers in turn. A start whose broker does not answer, or cannot now, is
    /// repeated at the next one under the same key.
    ///
    /// # Errors
    /// A start was refused, or nobody answered it in time.
    pub async fn run(self, cluster: &Cluster) -> anyhow::Result<Vec<Started>> {
        let identity = BrokerIdentity::load(&cluster.broker().dir.join("identity"))?;
        let issuer = Issuer::new(identity.identity.cluster(), identity.signing);
        let http = cluster.trust()?.client()?;
        let brokers: Vec<_> = cluster.brokers().iter().map(|it| it.url.to_string()).collect();
        let people: Vec<_> = (0..self.people)
            .map(|n| Ok(Person { http: http.clone(), token: token(&issuer, n)?, number: n }))
            .collect::<anyhow::Result<_>>()?;
        let begin = Instant::now();
        let mut starts = JoinSet::new();
        for person in people {
            let at = begin + self.within.mul_f64(person.number as f64 / self.people as f64);
            let brokers = brokers.clone();
            starts.spawn(async move {
                sleep_until(at.into()).await;
                person.start(&brokers).await
            });
        }
        let mut started = Vec::new();
        while let Some(start) = starts.join_next().await {
            started.push(start.context("a start ended")??);
        }
        Ok(started)
    }
}

struct Person {
    http: reqwest::Client,
    token: String,
    number: usize,
}

impl Person {
    async fn start(self, brokers: &[String]) -> anyhow::Result<Started> {
        let (asked, user) = (Instant::now(), name(self.number));
        let request = StartRequest { profile: None, want: Want::Start };
        let mut repeats = 0;
        loop {
            let broker = &brokers[(self.number + repeats as usize) % brokers.len()];
            let url = format!("{}/api/v1/sessions", broker.trim_end_matches('/'));
            let call = self.http.post(url).bearer_auth(&self.token).json(&request);
            let reply = call.header(IDEMPOTENCY_KEY, &user).send().await;
            let why = match reply {
                Ok(reply) if reply.status().is_success() => {
                    let session = reply.json::<SessionReply>().await?.session;
                    let took = asked.elapsed();
                    return Ok(Started { user, session, asked, took, repeats });
                }
                Ok(reply) if reply.status() == StatusCode::SERVICE_UNAVAILABLE => {
                    reply.text().await?
                }
                Ok(reply) => {
                    let why = reply.text().await?;
                    bail!("{user} was refused: {why}");
                }
                Err(cause) => cause.to_string(),
            };
            if asked.elapsed() > PATIENCE {
                bail!("nobody served {user} within {PATIENCE:?}: {why}");
            }
            repeats += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn name(number: usize) -> String {
    format!("person-{number:04}")
}

fn token(issuer: &Issuer, number: usize) -> anyhow::Result<String> {
    let who = Accepted {
        user: name(number).parse()?,
        groups: Vec::new(),
        role: Role::User,
        messages: Vec::new(),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let (token, _) = issuer.login(&who, Timestamp(now as u64), Duration::from_secs(3600));
    Ok(token)
}
