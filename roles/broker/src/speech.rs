//! Which wire versions the cluster's brokers speak: heard from each, told to each, and raised in the table
//! once all of them speak a newer one.
//!
//! What was heard is not in the table: a row with more in it than an older broker reads would not be the same
//! everywhere. A broker that has said nothing to this one counts with what the table has come to, so one that
//! is down holds a raise up until it is back or removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use abide_model::{BrokerId, Change, Table, WireVersion};
use abide_raft::{EncodeError, ProposeError};
use abide_wire::{SPOKEN, Speaks};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::broker::Broker;

/// How often it is looked whether all speak a newer version, when nobody says anything new.
const LOOK: Duration = Duration::from_secs(1);

/// What the other brokers have said.
#[derive(Debug)]
pub struct Speeches {
    heard: Mutex<BTreeMap<BrokerId, Speaks>>,
    news: Notify,
    /// What the cluster has come to, once that is more than this build speaks.
    outgrown: watch::Sender<Option<WireVersion>>,
}

impl Default for Speeches {
    fn default() -> Self {
        Self { heard: Mutex::default(), news: Notify::new(), outgrown: watch::Sender::new(None) }
    }
}

impl Speeches {
    /// A broker says what it speaks, and what its table has come to.
    pub fn hear(&self, from: &BrokerId, speaks: Speaks) {
        self.told(&speaks);
        if self.lock().insert(from.clone(), speaks) != Some(speaks) {
            debug!(broker = %from, %speaks, "Broker says which wire versions it speaks");
            self.news.notify_one();
        }
    }

    /// Somebody says what their table has come to.
    pub fn told(&self, speaks: &Speaks) {
        if speaks.is_beyond() {
            self.outgrown.send_replace(speaks.table);
        }
    }

    /// Returns when the cluster has come to a version that this build does not speak; with that.
    pub async fn outgrown(&self) -> WireVersion {
        let mut outgrown = self.outgrown.subscribe();
        match outgrown.wait_for(Option::is_some).await.ok().and_then(|it| *it) {
            Some(version) => version,
            None => std::future::pending().await,
        }
    }

    /// What all have said.
    pub fn heard(&self) -> BTreeMap<BrokerId, Speaks> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<BrokerId, Speaks>> {
        // One entry is replaced at a time.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Broker {
    /// What this broker says of itself.
    pub fn speaks(&self) -> Speaks {
        let table = self.raft.latest();
        let has_table = table.0.brokers().next().is_some();
        Speaks::here(has_table.then(|| table.0.wire()))
    }

    /// Whether a broker may take part.
    ///
    /// # Errors
    /// [`Unsuited`]: it could not read what the others write.
    pub fn suits(&self, speaks: &Speaks) -> Result<(), Unsuited> {
        let cluster = self.raft.latest().0.wire();
        if speaks.reads(cluster) { Ok(()) } else { Err(Unsuited { cluster, speaks: *speaks }) }
    }

    /// Who speaks what, as far as this broker has heard.
    pub fn spoken(&self) -> Spoken {
        let table = self.raft.latest();
        let members = self.raft.status().members.nodes.into_values();
        let members = members.filter_map(|peer| peer.name.parse().ok());
        let mut heard = self.speeches.heard();
        heard.insert(self.id.clone(), self.speaks());
        Spoken::new(&table.0, members, &heard)
    }
}

impl Broker {
    /// What holds up the newest version, or who is too old, by the brokers' addresses.
    pub fn wire_problem(&self, spoken: &Spoken) -> Option<String> {
        let table = self.raft.latest();
        let url = |id: &BrokerId| table.0.broker(id).map(|row| row.public_url.clone());
        spoken.problem(|id| url(id).unwrap_or_else(|| id.to_string()))
    }

    /// What could not be said yet, with who holds it up.
    pub fn unspoken(&self, cause: EncodeError) -> ProposeError {
        let problem = self.wire_problem(&self.spoken());
        ProposeError::Unspoken(problem.map_or(cause, EncodeError))
    }
}

/// A broker that does not speak what the cluster has come to.
#[derive(Debug, thiserror::Error)]
#[error("the cluster speaks wire version {cluster}, and that broker's Abide speaks {speaks}")]
pub struct Unsuited {
    cluster: WireVersion,
    speaks: Speaks,
}

/// Who speaks what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoken {
    /// What the table has come to.
    pub table: WireVersion,
    /// Every broker, and what it has said.
    pub brokers: BTreeMap<BrokerId, Option<Speaks>>,
}

impl Spoken {
    fn new(
        table: &Table,
        members: impl Iterator<Item = BrokerId>,
        heard: &BTreeMap<BrokerId, Speaks>,
    ) -> Self {
        let rows = table.brokers().map(|row| row.id.clone());
        let all: BTreeSet<_> = rows.chain(members).collect();
        let brokers = all.into_iter().map(|id| {
            let said = heard.get(&id).copied();
            (id, said)
        });
        Self { table: table.wire(), brokers: brokers.collect() }
    }

    /// The newest that every broker speaks, if it is newer than the table's.
    pub fn due(&self) -> Option<WireVersion> {
        let all = self.brokers.values().map(|said| said.map_or(self.table, |it| it.newest));
        all.min().filter(|newest| *newest > self.table)
    }

    /// What holds up the newest version that this build speaks, or who is too old, in words for people.
    pub fn problem(&self, name: impl Fn(&BrokerId) -> String) -> Option<String> {
        let Self { table, .. } = self;
        let names = |which: &dyn Fn(&Option<Speaks>) -> bool| {
            let which = self.brokers.iter().filter(|(_, said)| which(said));
            which.map(|(id, _)| name(id)).collect::<Vec<_>>().join(", ")
        };
        let too_old = names(&|said| said.is_some_and(|it| !it.reads(*table)));
        if !too_old.is_empty() {
            return Some(format!(
                "The cluster speaks wire version {table}. These brokers run an Abide that does not, \
                 and take no part until they run a newer one: {too_old}."
            ));
        }
        let newest = SPOKEN.end();
        let older = names(&|said| said.is_some_and(|it| it.newest < *newest));
        let silent = names(&|said| said.is_none());
        let parts = [("run an older one", older), ("have not been heard", silent)];
        let parts = parts.into_iter().filter(|(_, names)| !names.is_empty());
        let parts: Vec<_> = parts.map(|(what, names)| format!("these {what}: {names}")).collect();
        (table < newest && !parts.is_empty()).then(|| {
            format!(
                "The cluster speaks wire version {table} until every broker runs an Abide that \
                 speaks {newest}; {}.",
                parts.join("; ")
            )
        })
    }
}

/// Runs until the broker stops: while it leads, raises the table's version once all speak a newer one.
pub async fn keep(broker: Broker) {
    let mut told = None;
    loop {
        let spoken = broker.spoken();
        let problem = broker.wire_problem(&spoken);
        if problem != told {
            if let Some(problem) = &problem {
                info!("{problem}");
            }
            told = problem;
        }
        if broker.raft.leadership().borrow().is_serving()
            && let Some(to) = spoken.due()
        {
            match broker.commit(Change::RaiseWire { to }).await {
                Ok(_) => {
                    info!(wire = %to, "Every broker speaks a newer wire version: it is used now")
                }
                Err(cause) => {
                    warn!(%cause, "The wire version could not be raised yet");
                    sleep(LOOK).await;
                }
            }
        }
        let _ = timeout(LOOK, broker.speeches.news.notified()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: WireVersion = WireVersion::FIRST;

    fn newest() -> WireVersion {
        *SPOKEN.end()
    }

    fn says(newest: WireVersion) -> Option<Speaks> {
        Some(Speaks { oldest: FIRST, newest, table: None })
    }

    fn spoken<const N: usize>(table: WireVersion, said: [Option<Speaks>; N]) -> Spoken {
        let id = |number: usize| format!("{number:032}").parse().unwrap();
        let brokers = said.into_iter().enumerate().map(|(number, said)| (id(number), said));
        Spoken { table, brokers: brokers.collect() }
    }

    fn problem(spoken: &Spoken) -> String {
        let name = |id: &BrokerId| format!("b{}", &id.as_str()[31..]);
        spoken.problem(name).unwrap_or_default()
    }

    #[test]
    fn the_version_is_raised_once_every_broker_speaks_a_newer_one() {
        let new = says(newest());
        let due = |said: [Option<Speaks>; 3]| spoken(FIRST, said).due();
        assert_eq!(due([new, new, new]), Some(newest()));
        assert_eq!(due([new, says(FIRST), new]), None, "one is older");
        assert_eq!(due([new, None, new]), None, "one was never heard");
        assert_eq!(due([new, says(WireVersion(9)), new]), Some(newest()), "one is newer still");
        assert_eq!(spoken(newest(), [new, new]).due(), None, "once");
        assert_eq!(spoken(FIRST, []).due(), None, "nobody is in the table yet");
    }

    #[test]
    fn whoever_holds_a_newer_version_up_is_named() {
        let (new, old) = (says(newest()), says(FIRST));
        let said = problem(&spoken(FIRST, [new, old, None]));
        let until = format!("until every broker runs an Abide that speaks {}", newest());
        for words in [&until, "these run an older one: b1", "have not been heard: b2"] {
            assert!(said.contains(words), "{said}");
        }
        assert_eq!(problem(&spoken(newest(), [new, new, None])), "", "nothing is held up");
        assert_eq!(problem(&spoken(FIRST, [new, new])), "", "it is about to be raised");
    }

    #[test]
    fn a_broker_that_is_too_old_is_named_first() {
        let said = problem(&spoken(newest(), [says(newest()), says(FIRST)]));
        assert!(said.contains("take no part until they run a newer one: b1."), "{said}");
    }

    #[test]
    fn whoever_says_nothing_speaks_the_first_version() {
        assert_eq!(Some(Speaks::from(None)), says(FIRST));
    }

    #[tokio::test]
    async fn a_cluster_that_has_come_further_than_this_build_is_noticed() {
        let speeches = Speeches::default();
        let other = "0".repeat(32).parse().unwrap();
        let beyond = WireVersion(newest().0 + 1);
        let at = |table| Speaks { oldest: FIRST, newest: beyond, table: Some(table) };
        speeches.hear(&other, at(newest()));
        let patience = Duration::from_millis(10);
        assert!(timeout(patience, speeches.outgrown()).await.is_err());
        speeches.hear(&other, at(beyond));
        assert_eq!(speeches.outgrown().await, beyond);
    }
}
