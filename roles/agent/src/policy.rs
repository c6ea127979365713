//! The cluster's configuration as this agent goes by it, told by brokers and kept in the ledger.
//!
//! Brokers may be newer: a text with keys that this version does not know is kept, and the last one that could
//! be read stays in force.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use abide_ledger::KeptConfig;
use abide_model::ClusterId;
use abide_policy::ClusterConfig;
use abide_wire::agent::ClusterConfig as Told;
use prost::Message;
use tokio::sync::watch;
use tracing::{info, warn};

/// The configuration. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Policy(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kept: Mutex<Kept>,
    now: watch::Sender<Arc<ClusterConfig>>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The newest.
    told: Told,
    /// The newest that could be read, if that is another.
    read: Option<Told>,
}

/// How the configuration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The number of the newest that was told; 0: none was.
    pub(crate) number: u64,
    /// Whether that one is in force; else an earlier one is.
    pub(crate) is_readable: bool,
}

impl Policy {
    /// As the ledger has it. What another cluster told counts no more.
    pub(crate) fn restored(
        cluster: ClusterId,
        kept: &KeptConfig,
    ) -> Result<Self, prost::DecodeError> {
        let told = Told::decode(kept.told.as_slice())?;
        let read = kept.read.as_deref().map(Told::decode).transpose()?;
        if told.version.is_some() && told.cluster != cluster.to_string() {
            warn!(was = told.cluster, "The configuration is another cluster's: it is dropped");
            return Ok(Self::new(Kept::default(), ClusterConfig::default()));
        }
        // This version may read more, or less, than the one that kept it.
        let config = match (read_text(&told), &read) {
            (Ok(config), _) => return Ok(Self::new(Kept { told, read: None }, config)),
            (Err(problems), read) => {
                say_unreadable(&told, &problems);
                let earlier = read.as_ref().and_then(|it| read_text(it).ok());
                earlier.unwrap_or_default()
            }
        };
        let read = read.or_else(|| Some(Told::default()));
        Ok(Self::new(Kept { told, read }, config))
    }

    fn new(kept: Kept, config: ClusterConfig) -> Self {
        let now = watch::Sender::new(Arc::new(config));
        Self(Arc::new(Inner { kept: Mutex::new(kept), now }))
    }

    /// The configuration in force.
    pub(crate) fn now(&self) -> Arc<ClusterConfig> {
        self.0.now.borrow().clone()
    }

    /// The same, and its changes.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<ClusterConfig>> {
        self.0.now.subscribe()
    }

    /// How it stands.
    pub(crate) fn standing(&self) -> Standing {
        let kept = self.kept();
        let number = kept.told.version.unwrap_or_default().revision;
        Standing { number, is_readable: kept.read.is_none() }
    }

    /// Takes in what a broker told; what is to be kept, if that is new. What is older than what is known is not
    /// taken: it comes from a broker that lags behind.
    pub(crate) fn told(&self, told: &Told) -> Option<KeptConfig> {
        let mut kept = self.kept();
        if version(told) <= version(&kept.told) {
            return None;
        }
        match read_text(told) {
            Ok(config) => {
                *kept = Kept { told: told.clone(), read: None };
                let number = told.version.unwrap_or_default().revision;
                info!(number, "Configuration of the cluster is in force");
                self.0.now.send_replace(Arc::new(config));
            }
            Err(problems) => {
                say_unreadable(told, &problems);
                let before = std::mem::replace(&mut kept.told, told.clone());
                kept.read.get_or_insert(before);
            }
        }
        let read = kept.read.as_ref().map(Message::encode_to_vec);
        Some(KeptConfig { told: kept.told.encode_to_vec(), read })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // It is replaced whole.
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a text says, or all that is wrong with it.
fn read_text(told: &Told) -> Result<ClusterConfig, String> {
    let text = std::str::from_utf8(&told.text).map_err(|cause| cause.to_string())?;
    abide_policy_text::read(text).map_err(|problems| problems.to_string())
}

fn version(told: &Told) -> (u64, u64, u64) {
    let version = told.version.unwrap_or_default();
    (version.generation, version.claimant, version.revision)
}

fn say_unreadable(told: &Told, problems: &str) {
    let number = told.version.unwrap_or_default().revision;
    warn!(
        number,
        problems,
        "Configuration of the cluster cannot be read here: the last one that can be is in force"
    );
}

#[cfg(test)]
mod tests {
    use abide_wire::agent::Version;

    use super::*;

    const CLUSTER: &str = "11111111-1111-4111-8111-111111111111";
    const OTHER: &str = "22222222-2222-4222-8222-222222222222";

    fn told(generation: u64, revision: u64, text: &str) -> Told {
        let version = Some(Version { generation, claimant: 0, revision });
        Told { version, text: text.to_owned().into(), cluster: CLUSTER.into() }
    }

    fn restored(cluster: &str, kept: &KeptConfig) -> Policy {
        Policy::restored(cluster.parse().unwrap(), kept).unwrap()
    }

    fn sessions(policy: &Policy) -> Option<u32> {
        policy.now().sessions_per_user
    }

    #[test]
    fn the_highest_version_is_kept_and_in_force_also_after_a_restart() {
        let policy = restored(CLUSTER, &KeptConfig::default());
        assert_eq!(policy.standing(), Standing { number: 0, is_readable: true });
        assert!(policy.told(&told(1, 5, "sessions_per_user = 5")).is_some());
        for older in [told(1, 4, ""), told(0, 9, ""), told(1, 5, "")] {
            assert_eq!(policy.told(&older), None, "{older:?}");
        }
        let kept = policy.told(&told(2, 1, "sessions_per_user = 1")).unwrap();
        assert_eq!(sessions(&policy), Some(1));
        let again = restored(CLUSTER, &kept);
        assert_eq!(sessions(&again), Some(1));
        assert_eq!(again.told(&told(2, 1, "")), None);
        let elsewhere = restored(OTHER, &kept);
        assert_eq!((sessions(&elsewhere), elsewhere.standing().number), (None, 0));
    }

    #[test]
    fn what_cannot_be_read_is_kept_and_the_last_that_can_be_stays_in_force() {
        let policy = restored(CLUSTER, &KeptConfig::default());
        policy.told(&told(0, 1, "sessions_per_user = 1")).unwrap();
        for number in [2, 3] {
            let kept = policy.told(&told(0, number, "of_the_future = 1")).unwrap();
            for policy in [&policy, &restored(CLUSTER, &kept)] {
                assert_eq!(sessions(policy), Some(1));
                assert_eq!(policy.standing(), Standing { number, is_readable: false });
            }
        }
        let kept = policy.told(&told(0, 4, "sessions_per_user = 4")).unwrap();
        assert_eq!(kept.read, None);
        assert_eq!(sessions(&policy), Some(4));
        assert!(policy.standing().is_readable);
    }
}
