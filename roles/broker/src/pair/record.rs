//! What a broker of a pair must not forget, in a file of its data folder.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use abide_config::{Access, replace_file};
use serde::{Deserialize, Serialize};

use super::mark::Mark;
use super::record_file;

/// See the module. FROZEN: fields are added, never changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(skip)]
    path: PathBuf,
    /// The cluster manager wants this node to serve: in which run of the host it said so. Its own decision
    /// ends with that, so this one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ordered_in: Option<String>,
    /// This node stopped in order and left the peer to go on. Holds for these data alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retired: Option<Mark>,
    /// The peer did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) peer_retired: Option<Mark>,
    /// Somebody once proved that the peer was down.
    #[serde(default)]
    pub(crate) proof_seen: bool,
    /// The life that this node was about to begin: agents may have promised to obey it. That is no word of
    /// somebody else's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) intended: Option<Mark>,
}

impl Record {
    /// As the file says, if there is one.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let path = record_file(data_dir);
        let record = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(cause) => return Err(cause),
        };
        Ok(Self { path, ..record })
    }

    /// Durable when it returns.
    pub(crate) fn save(&self) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        replace_file(&self.path, &text, Access::Everybody)
    }

    /// Whether the cluster manager wants this node to serve.
    pub(crate) fn is_ordered(&self) -> bool {
        self.ordered_in.is_some() && self.ordered_in == host_run().ok()
    }

    /// The cluster manager says so, or takes it back.
    pub(crate) fn set_ordered(&mut self, ordered: bool) {
        self.ordered_in = if ordered { host_run().ok() } else { None };
    }

    /// Another life of the data folder begins: what was said of the last one does not hold.
    pub(crate) fn forget_data(&mut self) {
        (self.ordered_in, self.retired, self.peer_retired) = (None, None, None);
        self.intended = None;
    }
}

/// Takes the standing order of a broker back that does not run.
///
/// # Errors
/// The file cannot be read or written.
pub(crate) fn drop_order(data_dir: &Path) -> io::Result<()> {
    let mut record = Record::open(data_dir)?;
    if record.ordered_in.take().is_none() {
        return Ok(());
    }
    record.save()
}

/// Names this run of this host, from its start to its end: also of a container, whose kernel runs on,
/// by the birth of its /run. Not by process 1: the broker's unit hides others' processes from it.
fn host_run() -> io::Result<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    // Not every kernel tells it.
    let run = std::fs::metadata("/run").and_then(|run| run.created()).ok();
    let run = run.and_then(|it| it.duration_since(SystemTime::UNIX_EPOCH).ok());
    Ok(format!("{} {}", boot.trim(), run.map(|it| it.as_nanos()).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_outlives_the_broker_and_ends_with_the_host() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::open(folder.path()).unwrap();
        assert!(!record.is_ordered());
        record.set_ordered(true);
        record.save().unwrap();
        let mut again = Record::open(folder.path()).unwrap();
        assert!(again.is_ordered());
        again.ordered_in = Some("another run 1".to_owned());
        again.save().unwrap();
        assert!(!Record::open(folder.path()).unwrap().is_ordered());
    }

    #[test]
    fn an_order_can_be_taken_back_while_no_broker_runs() {
        let folder = tempfile::tempdir().unwrap();
        drop_order(folder.path()).unwrap();
        let mut record = Record::open(folder.path()).unwrap();
        record.set_ordered(true);
        record.proof_seen = true;
        record.save().unwrap();
        drop_order(folder.path()).unwrap();
        let record = Record::open(folder.path()).unwrap();
        assert!(!record.is_ordered());
        assert!(record.proof_seen, "the rest is left alone");
    }
}
