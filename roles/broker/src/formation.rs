//! What a broker with an empty data folder does: two files of its identity folder say it.
//!
//! - `brokers`: the addresses of all brokers, one a line, kept current while this one runs.
//! - `formation`: a mark for the first start. With it the broker forms a group alone; it is consumed
//!   then, so that a data folder that is lost later never makes a second group.
//!
//! ```text
//! data folder     mark       other brokers   what it does
//! in use          any        any             goes on
//! empty           new        any             forms a group alone
//! empty           recover    none leads      the same, and rebuilds the table from the agents
//! empty           recover    one leads       joins them: the table is not lost, or was made anew already
//! empty           none       some            joins them
//! empty           none       none            refuses to start
//! ```

use std::io;
use std::path::{Path, PathBuf};

use abide_config::{Access, replace_file};
use abide_raft::{Formation, Peer};
use tracing::warn;

use crate::broker::Broker;

const BROKERS: &str = "brokers";
const FORMATION: &str = "formation";
/// The engine's database: a data folder without it is empty.
const DATABASE: &str = "raft.db";

/// Why an empty data folder is left alone.
#[derive(Debug, thiserror::Error)]
pub enum FormationError {
    /// Nobody said so, and nobody else is known.
    #[error(
        "the data folder {} is empty and no other broker is known: if this cluster's table is lost, \
         `abide broker recover` rebuilds it from the agents; a further broker is made with \
         `abide broker join`",
        folder.display()
    )]
    Nobody {
        /// The data folder.
        folder: PathBuf,
    },
    /// The identity folder.
    #[error("cannot use the file {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The mark says something else.
    #[error("{} should say \"new\" or \"recover\"", path.display())]
    Mark {
        /// The file.
        path: PathBuf,
    },
}

/// What the first start is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A new cluster.
    New,
    /// A cluster whose table is lost.
    Recover,
}

/// The two files.
#[derive(Debug, Clone)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// Those of this identity folder.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Marks the next start.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn mark(&self, mark: Mark) -> io::Result<()> {
        let text = match mark {
            Mark::New => "new\n",
            Mark::Recover => "recover\n",
        };
        replace_file(&self.folder.join(FORMATION), text.as_bytes(), Access::Everybody)
    }

    /// The mark, if there is one.
    ///
    /// # Errors
    /// It cannot be read, or says nothing that is known.
    pub fn marked(&self) -> Result<Option<Mark>, FormationError> {
        let path = self.folder.join(FORMATION);
        match read(&path)?.as_deref().map(str::trim) {
            None => Ok(None),
            Some("new") => Ok(Some(Mark::New)),
            Some("recover") => Ok(Some(Mark::Recover)),
            Some(_) => Err(FormationError::Mark { path }),
        }
    }

    /// The group is formed, or goes on: the mark is consumed.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn consume(&self) -> Result<(), FormationError> {
        let path = self.folder.join(FORMATION);
        match std::fs::remove_file(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(FormationError::File { path, cause })
            }
            _ => Ok(()),
        }
    }

    /// What the engine is to do on `data` if that is empty. `me` is this broker's own address, `peer` the
    /// other one's of a pair.
    ///
    /// # Errors
    /// [`FormationError`] when nothing says so.
    pub fn formation(
        &self,
        me: Peer,
        data: &Path,
        peer: Option<&str>,
    ) -> Result<Formation, FormationError> {
        if self.marked()?.is_some() {
            return Ok(Formation::Alone(me));
        }
        let is_empty = is_empty(data);
        let known = self.brokers()?;
        let mut others = known.iter().map(String::as_str).chain(peer);
        let knows_others = others.any(|address| address != me.address);
        if is_empty && !knows_others {
            return Err(FormationError::Nobody { folder: data.to_owned() });
        }
        Ok(Formation::Join)
    }

    /// The addresses of all brokers, as they were known last.
    ///
    /// # Errors
    /// The file cannot be read; one that is missing names nobody.
    pub fn brokers(&self) -> Result<Vec<String>, FormationError> {
        let text = read(&self.folder.join(BROKERS))?.unwrap_or_default();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(lines.map(str::to_owned).collect())
    }

    /// Notes the addresses of all brokers.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note_brokers(&self, addresses: &[String]) -> io::Result<()> {
        let text = addresses.join("\n") + "\n";
        replace_file(&self.folder.join(BROKERS), text.as_bytes(), Access::Everybody)
    }

    /// Keeps the brokers' addresses as the table has them; while that is made anew also those from before, who
    /// may have another. Ends when the engine does.
    pub async fn keep_brokers(self, broker: Broker, before: Vec<String>) {
        let mut changes = broker.raft.changes();
        let mut noted = Vec::new();
        loop {
            changes.borrow_and_update();
            let table = broker.raft.latest();
            let mut known: Vec<_> = table.0.brokers().map(|it| it.agent_address.clone()).collect();
            if !known.is_empty() && table.0.is_rebuilding() {
                known.extend(
                    before.iter().filter(|it| !known.contains(it)).cloned().collect::<Vec<_>>(),
                );
            }
            // A table without brokers has not been caught up with yet.
            if !known.is_empty() && known != noted {
                match self.note_brokers(&known) {
                    Ok(()) => noted = known,
                    Err(cause) => {
                        let cause: &dyn std::error::Error = &cause;
                        warn!(cause, "The brokers' addresses cannot be noted");
                    }
                }
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Whether a data folder has nothing of a group in it.
pub fn is_empty(data: &Path) -> bool {
    !data.join(DATABASE).exists()
}

fn read(path: &Path) -> Result<Option<String>, FormationError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(FormationError::File { path: path.to_owned(), cause }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> Peer {
        Peer { address: "me:7443".into(), ..Peer::default() }
    }

    #[test]
    fn an_empty_data_folder_never_makes_a_second_group_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let (files, data) = (Files::new(folder.path()), folder.path().join("data"));
        let refused =
            || matches!(files.formation(me(), &data, None), Err(FormationError::Nobody { .. }));
        assert!(refused(), "nobody said that it may");
        files.mark(Mark::New).unwrap();
        assert_eq!(files.formation(me(), &data, None).unwrap(), Formation::Alone(me()));
        files.consume().unwrap();
        assert!(refused(), "the mark counts once");
        files.note_brokers(&["me:7443".into()]).unwrap();
        assert!(refused(), "it cannot join itself");
        files.note_brokers(&["me:7443".into(), "other:7443".into()]).unwrap();
        assert_eq!(files.formation(me(), &data, None).unwrap(), Formation::Join);
    }

    #[test]
    fn a_mark_that_says_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path());
        std::fs::write(folder.path().join(FORMATION), "maybe").unwrap();
        assert!(matches!(files.marked(), Err(FormationError::Mark { .. })));
    }
}
