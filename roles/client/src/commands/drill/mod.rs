//! `abide cluster drill`: a broker of a live cluster fails on purpose, and what people would have
//! noticed is told.
//!
//! ```text
//! look ─▶ may it be? ─▶ ask ─▶ probe steadily ─▶ hurt the local broker ─▶ answered again ─▶ tell
//! ```
//!
//! It hurts the broker of the host it runs on, and no other: signals do not cross the network. It
//! starts nothing; that is for whoever runs the broker.

mod local;
mod probe;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use abide_api::Cluster;
use rustix::process::Signal;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::CommandError;
use super::console::{Format, answer, answer_json, tell};
use super::sessions::{Confirmation, consent};
use crate::store::Store;
use local::{Local, Paused};
use probe::Probe;
use report::{Process, Report};

pub use local::LocalError;

/// How long a paused leader stands still: longer than any election.
const PAUSE: Duration = Duration::from_secs(10);
/// After the first answer the probe goes on for so long, since a second disturbance may follow.
const AFTERWARDS: Duration = Duration::from_secs(3);
/// An answer that takes longer does not come any more in this drill.
const AT_MOST: Duration = Duration::from_secs(45);

/// What is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drill {
    /// The leader's process is killed (SIGKILL).
    LeaderKill,
    /// The leader is stopped in order (SIGTERM).
    LeaderStop,
    /// The leader's process stands still for ten seconds (SIGSTOP, then SIGCONT).
    LeaderPause,
    /// A follower's process is killed (SIGKILL).
    FollowerKill,
}

/// What `abide cluster drill` is told.
#[derive(Debug)]
pub struct DrillOptions {
    /// What is to happen.
    pub drill: Drill,
    /// The identity of this host's broker.
    pub identity_dir: PathBuf,
    /// Where this host's broker writes its process id.
    pub pid_file: PathBuf,
    /// Whether the person has agreed.
    pub confirmation: Confirmation,
}

/// Why a drill is not done. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// Nobody leads as it is.
    #[error("no broker leads now; a drill would add to the trouble")]
    NobodyLeads,
    /// One broker less is one too few.
    #[error("the cluster can lose no broker now: starts and reconnects would stop")]
    NoMargin,
    /// The leader is on another host.
    #[error("the leader is not the broker of this host: run this on the host of {0}")]
    LeaderElsewhere(String),
    /// This host's broker leads.
    #[error("the broker of this host leads: run this on the host of a follower ({0})")]
    LeadsHere(String),
    /// This host's broker.
    #[error(transparent)]
    Local(#[from] LocalError),
}

impl DrillError {
    /// What to do next.
    pub(super) fn advice(&self) -> Option<String> {
        Some(match self {
            Self::NoMargin => {
                "See `abide cluster status`; wait until all brokers are back, or add \
                 one: abide broker join"
                    .to_owned()
            }
            Self::Local(error) => error.advice()?,
            _ => return None,
        })
    }
}

/// Lets it happen, and tells what people would have noticed.
///
/// # Errors
/// [`DrillError`], or what the cluster says; [`CommandError::NobodyLeads`] when it does not recover.
pub async fn drill(
    store: &Store,
    options: DrillOptions,
    format: Format,
) -> Result<(), CommandError> {
    let api = super::api(store)?;
    let local = Local::find(&options.identity_dir, &options.pid_file).map_err(DrillError::from)?;
    let before = api.cluster_by_leader().await?;
    permit(&before, &local.broker, options.drill)?;
    let url = url_of(&before, &local.broker);
    consent(options.confirmation, &question(options.drill, &url, &local))?;
    let probe = Probe::start(super::api(store)?).await?;
    let asked = probe.asked();
    tell(&format!("Asking for {asked}, one call after the other, while it happens …"));
    let fault = hurt(options.drill, &local).await?;
    let deadline = Instant::now() + AT_MOST;
    while !probe.answered_since(fault) && Instant::now() < deadline {
        sleep(Duration::from_millis(20)).await;
    }
    sleep(AFTERWARDS).await;
    let noticed = probe.end(fault).await;
    let report = Report {
        drill: options.drill,
        broker: local.broker.clone(),
        url,
        pid: local.pid(),
        asked,
        noticed,
        process: Process::of(&local, &options),
        cluster: api.cluster_by_leader().await.ok(),
    };
    match format {
        Format::Json => answer_json(&report)?,
        Format::Table => answer(&report.to_string())?,
    }
    match report.noticed.again_ms {
        Some(_) => Ok(()),
        None => Err(CommandError::NobodyLeads),
    }
}

/// Whether the drill may be done, and here.
fn permit(cluster: &Cluster, here: &str, drill: Drill) -> Result<(), DrillError> {
    let Some(leader) = &cluster.leader else {
        return Err(DrillError::NobodyLeads);
    };
    let urls = |wanted: &dyn Fn(&str) -> bool| {
        let brokers = cluster.brokers.iter().filter(|broker| wanted(&broker.id));
        brokers.map(|broker| broker.url.as_str()).collect::<Vec<_>>().join(" or ")
    };
    let leads_here = leader == here;
    match drill {
        Drill::FollowerKill if leads_here => Err(DrillError::LeadsHere(urls(&|id| id != leader))),
        Drill::LeaderKill | Drill::LeaderStop | Drill::LeaderPause if !leads_here => {
            Err(DrillError::LeaderElsewhere(urls(&|id| id == leader)))
        }
        _ if cluster.can_lose == 0 => Err(DrillError::NoMargin),
        _ => Ok(()),
    }
}

fn url_of(cluster: &Cluster, broker: &str) -> String {
    let known = cluster.brokers.iter().find(|it| it.id == broker);
    known.map_or_else(|| broker.to_owned(), |it| it.url.clone())
}

fn question(drill: Drill, url: &str, local: &Local) -> String {
    let what = match drill {
        Drill::LeaderKill | Drill::FollowerKill => "is killed",
        Drill::LeaderStop => "is stopped",
        Drill::LeaderPause => "stands still for ten seconds",
    };
    format!(
        "{url}, the broker of this host (process {}), {what}. Desktops go on; logins, starts and \
         reconnects wait a moment. Do it?",
        local.pid()
    )
}

/// Does it, and gives the moment.
async fn hurt(drill: Drill, local: &Local) -> Result<Instant, DrillError> {
    let fault = Instant::now();
    match drill {
        Drill::LeaderKill | Drill::FollowerKill => local.signal(Signal::KILL)?,
        Drill::LeaderStop => local.signal(Signal::TERM)?,
        Drill::LeaderPause => {
            let paused = Paused::begin(local)?;
            sleep(PAUSE).await;
            drop(paused);
        }
    }
    Ok(fault)
}

#[cfg(test)]
mod tests {
    use abide_api::{Broker, BrokerRole, BrokerTiming};

    use super::*;

    fn cluster(leader: Option<&str>, can_lose: u32) -> Cluster {
        let broker = |id: &str| Broker {
            id: id.to_owned(),
            url: format!("https://{id}.example"),
            role: BrokerRole::Follower,
            lag: None,
            last_contact_ms: None,
            node: None,
            timing: BrokerTiming::Lan,
            clock_offset_ms: None,
            wire: None,
        };
        Cluster {
            cluster: String::new(),
            answered_by: String::new(),
            leader: leader.map(str::to_owned),
            brokers: ["a", "b", "c"].map(broker).into(),
            generation: 0,
            term: 1,
            voters: 3,
            can_lose,
            clock_problem: None,
            wire: None,
            wire_problem: None,
            notice: None,
            elections_started: None,
            elections_won: None,
        }
    }

    #[test]
    fn a_drill_is_for_the_right_host_of_a_cluster_that_can_bear_it() {
        let said = |leader, can_lose, drill| {
            permit(&cluster(leader, can_lose), "a", drill).map_err(|error| error.to_string())
        };
        assert_eq!(said(Some("a"), 1, Drill::LeaderKill), Ok(()));
        assert_eq!(said(Some("b"), 1, Drill::FollowerKill), Ok(()));
        for (leader, can_lose, drill, part) in [
            (None, 0, Drill::LeaderKill, "no broker leads"),
            (Some("a"), 0, Drill::LeaderPause, "can lose no broker"),
            (Some("b"), 1, Drill::LeaderStop, "https://b.example"),
            (Some("a"), 1, Drill::FollowerKill, "https://b.example or https://c.example"),
        ] {
            let error = said(leader, can_lose, drill).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
