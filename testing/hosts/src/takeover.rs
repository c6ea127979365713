//! How long a service is away when its host loses power: to the cluster manager alone, and to people.
//!
//! One client that tries, fails and waits would tell its own waits. So from when somebody has the
//! address a new one comes every few milliseconds, all with the same wish; the first acknowledgement
//! counts.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use abide_api::{SessionReply, StartRequest, Want};
use abide_client::{Api, WishKey};
use abide_lab::keepalived::answers;
use anyhow::ensure;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use zeroize::Zeroizing;

use crate::site::Site;

/// Between two tries.
const EVERY: Duration = Duration::from_millis(50);
/// So many wait at once.
const MOST: usize = 6;
/// A manager that takes longer is not at work.
const LIMIT: Duration = Duration::from_secs(60);

/// What was seen of one.
#[derive(Debug)]
pub struct Takeover {
    /// From the fault until somebody has the address that moves without Abide.
    pub alone: Duration,
    /// From the fault until a start was acknowledged through the service address.
    pub start: Duration,
    /// What was started.
    pub reply: SessionReply,
}

impl Takeover {
    /// Watches it; the fault was at `fault`, `service` is where people come, `alone` the address that the
    /// manager moves without asking Abide. The person of `token` starts a desktop.
    ///
    /// # Errors
    /// When one of the two does not come.
    pub async fn watch(
        site: &Site,
        token: &Zeroizing<String>,
        [service, alone]: [Ipv4Addr; 2],
        fault: Instant,
    ) -> anyhow::Result<Self> {
        let manager = async {
            answers(alone).await?;
            anyhow::Ok(fault.elapsed())
        };
        let person = async {
            answers(service).await?;
            let reply = first_start(site, token).await?;
            anyhow::Ok((fault.elapsed(), reply))
        };
        let (alone, (start, reply)) = tokio::try_join!(manager, person)?;
        Ok(Self { alone, start, reply })
    }

    /// What people wait for beyond the manager.
    pub fn difference(&self) -> Duration {
        self.start.saturating_sub(self.alone)
    }
}

async fn first_start(site: &Site, token: &Zeroizing<String>) -> anyhow::Result<SessionReply> {
    let (began, key) = (Instant::now(), WishKey::random());
    let (mut tries, mut failed) = (JoinSet::new(), None);
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick(), if tries.len() < MOST => {
                let late = began.elapsed() > LIMIT;
                ensure!(!late, "no start is acknowledged within {LIMIT:?}: {failed:?}");
                tries.spawn(attempt(site.anew(token)?, key.clone()));
            }
            Some(answer) = tries.join_next() => match answer? {
                Ok(reply) => return Ok(reply),
                Err(why) => failed = Some(why),
            }
        }
    }
}

async fn attempt(api: Api, key: WishKey) -> anyhow::Result<SessionReply> {
    let request = StartRequest { profile: None, want: Want::Start };
    Ok(api.start(&request, &key).await?)
}
