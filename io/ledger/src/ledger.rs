//! The handle.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::sync::{mpsc, oneshot};

use crate::contents::{Contents, Write};
use crate::folder::{self, Reserve};
use crate::schema::{self, OpenError};
use crate::writer::{Job, Writer};

/// Callers that wait for the writer thread; more wait to be let in.
const JOBS: usize = 256;

/// Why a write was not made. None of a call's writes was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// There is no space left, not even what was set aside. Trying again later may help.
    #[error("the disk of {} is full", path.display())]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// The database failed, and takes no more writes until the agent is started anew.
    #[error("cannot write {}", path.display())]
    Failed {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        cause: Arc<rusqlite::Error>,
    },
    /// The writer thread has stopped.
    #[error("the ledger is closed")]
    Closed,
}

/// An open ledger. Clones share it.
#[derive(Debug, Clone)]
pub struct Ledger {
    folder: Arc<Path>,
    jobs: mpsc::Sender<Job>,
    full: Arc<AtomicBool>,
}

impl Ledger {
    /// Opens the ledger in this folder, which is made if it is missing, and reads it.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed then.
    pub fn open(folder: &Path) -> Result<(Self, Contents), OpenError> {
        let lock = folder::lock(folder)?;
        let path = folder.join("ledger.db");
        if !path.try_exists().map_err(|cause| OpenError::io(&path, cause))? {
            schema::create(&path)?;
        }
        let (connection, contents) = schema::open(&path)?;
        let reserve = Reserve::new(folder);
        let full = Arc::new(AtomicBool::new(!reserve.take()));
        let (sender, jobs) = mpsc::channel(JOBS);
        let writer = Writer { path, connection, jobs, reserve, full: Arc::clone(&full), lock };
        thread::Builder::new()
            .name("ledger".into())
            .spawn(move || writer.run())
            .map_err(|cause| OpenError::io(folder, cause))?;
        Ok((Self { folder: folder.into(), jobs: sender, full }, contents))
    }

    /// Makes these writes, all or none; when it returns they are durable.
    ///
    /// # Errors
    /// [`WriteError`]; none was made then.
    pub async fn write(&self, writes: Vec<Write>) -> Result<(), WriteError> {
        if writes.is_empty() {
            return Ok(());
        }
        let (done, result) = oneshot::channel();
        let job = Job::Write { writes, done };
        self.jobs.send(job).await.map_err(|_| WriteError::Closed)?;
        result.await.unwrap_or(Err(WriteError::Closed))
    }

    /// Whether there is room for something new: the space set aside is whole, and `least` bytes are
    /// free besides.
    pub fn has_room(&self, least: u64) -> bool {
        if self.full.load(Ordering::Relaxed) {
            // If the thread is too busy to look, the next write makes it look.
            let _ = self.jobs.try_send(Job::LookForRoom);
            return false;
        }
        folder::free(&self.folder).is_ok_and(|free| free >= least)
    }

    /// Waits for the writes that came before, and gives the folder's lock back. Later ones fail.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        // A thread that has stopped has closed.
        if self.jobs.send(Job::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}
