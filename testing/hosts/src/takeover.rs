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
    /// From the fault until somebody got back to a desktop of theirs through the service address.
    pub connect: Duration,
    /// The same for a start, which is acknowledged when its desktop runs.
    pub start: Duration,
    /// What was started.
    pub reply: SessionReply,
}

impl Takeover {
    /// Watches it; the fault was at `fault`, `service` is where people come, `alone` the address that the
    /// manager moves without asking Abide. The person of `starts` starts a desktop, that of `returns`
    /// connects to this session.
    ///
    /// # Errors
    /// When one of the two does not come.
    pub async fn watch(
        site: &Site,
        starts: &Zeroizing<String>,
        (returns, session): (&Zeroizing<String>, &str),
        [service, alone]: [Ipv4Addr; 2],
        fault: Instant,
    ) -> anyhow::Result<Self> {
        let manager = async {
            answers(alone).await?;
            anyhow::Ok(fault.elapsed())
        };
        let person = async {
            answers(service).await?;
            let start = async {
                let reply = first(site, starts, start).await?;
                anyhow::Ok((fault.elapsed(), reply))
            };
            let connect = async {
                let session = session.to_owned();
                first(site, returns, move |api, key| connect(api, key, session.clone())).await?;
                anyhow::Ok(fault.elapsed())
            };
            tokio::try_join!(connect, start)
        };
        let (alone, (connect, (start, reply))) = tokio::try_join!(manager, person)?;
        Ok(Self { alone, connect, start, reply })
    }

    /// What people wait for beyond the manager, a desktop's own start not in it.
    pub fn beyond(&self) -> Duration {
        self.connect.saturating_sub(self.alone)
    }

    /// The same with that start.
    pub fn beyond_with_start(&self) -> Duration {
        self.start.saturating_sub(self.alone)
    }
}

/// The first answer that is one.
async fn first<F>(
    site: &Site,
    token: &Zeroizing<String>,
    ask: impl Fn(Api, WishKey) -> F,
) -> anyhow::Result<SessionReply>
where
    F: Future<Output = anyhow::Result<SessionReply>> + Send + 'static,
{
    let (began, key) = (Instant::now(), WishKey::random());
    let (mut tries, mut failed) = (JoinSet::new(), None);
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick(), if tries.len() < MOST => {
                let late = began.elapsed() > LIMIT;
                ensure!(!late, "nothing is acknowledged within {LIMIT:?}: {failed:?}");
                tries.spawn(ask(site.anew(token)?, key.clone()));
            }
            Some(answer) = tries.join_next() => match answer? {
                Ok(reply) => return Ok(reply),
                Err(why) => failed = Some(why),
            }
        }
    }
}

async fn start(api: Api, key: WishKey) -> anyhow::Result<SessionReply> {
    let request = StartRequest { profile: None, want: Want::Start };
    Ok(api.start(&request, &key).await?)
}

async fn connect(api: Api, key: WishKey, session: String) -> anyhow::Result<SessionReply> {
    Ok(api.connect(&session, &key).await?)
}
