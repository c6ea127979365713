//! Snapshot files: one is kept, replaced whole or not at all.
//!
//! FROZEN: format 1. The magic, the header's length (u32, little endian), the header as JSON, what the
//! machine wrote, and a trailer: the number of bytes before it (u64) and their CRC-32 (u32).

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use tokio::io::AsyncRead;
use tokio::task::spawn_blocking;

use super::schema::{OpenError, sync_folder};
use crate::ids::{Members, Position};
use crate::machine::{Machine, RestoreError};

const MAGIC: &[u8; 8] = b"ABIDSNP1";
const TRAILER: u64 = 12;
const NAME: &str = "snapshot";
/// A header names the members; this many bytes are thousands of them.
const HEADER_LIMIT: u32 = 1 << 20;
const BUFFER: usize = 1 << 18;

/// What a snapshot covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotHeader {
    /// The last entry applied; everything before it is in the snapshot too.
    pub last: Option<Position>,
    /// The entry that named the members.
    pub members_at: Option<Position>,
    /// The members as of then.
    pub members: Members,
    /// Tells apart two snapshots of the same position.
    pub id: String,
}

/// Why a snapshot cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SnapshotFault {
    #[error("cannot write or read {path}")]
    Io {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error(
        "{path} is damaged ({detail}); nothing was changed. Restore the file, or move the whole \
             folder away to start this broker empty"
    )]
    Damaged { path: PathBuf, detail: &'static str },
    #[error(
        "{path} is sound, but its contents cannot be read; nothing was changed. Run the version \
             that wrote it, or a newer one"
    )]
    Contents {
        path: PathBuf,
        #[source]
        cause: RestoreError,
    },
    #[error("the engine has stopped")]
    Closed,
}

impl SnapshotFault {
    pub(crate) fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if cause.kind() == io::ErrorKind::StorageFull)
    }
}

/// The folder's one snapshot. Clones are the same.
#[derive(Clone)]
pub(crate) struct Snapshots {
    path: Arc<PathBuf>,
    kept: Arc<Mutex<Kept>>,
    work: Work,
}

/// Where work is done that blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Work {
    /// On a thread of its own.
    #[default]
    Apart,
    /// At once. A simulation has one thread, or it would not be the same twice.
    #[cfg(feature = "sim")]
    AtOnce,
}

#[derive(Default)]
struct Kept {
    current: Option<Current>,
    /// Somebody else may own the folder by now: nothing is put into place any more.
    closed: bool,
}

/// The snapshot that stands in the folder.
#[derive(Debug, Clone)]
pub(crate) struct Current {
    pub(crate) header: SnapshotHeader,
    /// Of the file, in bytes.
    pub(crate) size: u64,
}

impl Snapshots {
    /// Reads the folder's snapshot, if there is one.
    pub(crate) fn open<M: Machine>(
        folder: &Path,
        work: Work,
    ) -> Result<(Self, Option<M>), OpenError> {
        let path = folder.join(NAME);
        let this = Self { path: Arc::new(path), kept: Arc::default(), work };
        let file = match File::open(&*this.path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok((this, None)),
            Err(cause) => return Err(OpenError::io(&this.path, cause)),
        };
        let (current, machine) =
            this.load(&file).map_err(|fault| OpenError::Snapshot(Box::new(fault)))?;
        this.kept().current = Some(current);
        Ok((this, Some(machine)))
    }

    pub(crate) fn header(&self) -> Option<SnapshotHeader> {
        self.kept().current.as_ref().map(|current| current.header.clone())
    }

    /// Of the current snapshot, in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.kept().current.as_ref().map_or(0, |current| current.size)
    }

    /// The current snapshot's file, for reading. It stays readable when a newer one replaces it.
    pub(crate) fn reader(&self) -> Result<Option<(SnapshotHeader, File)>, SnapshotFault> {
        // Under the lock, so that header and file belong together.
        let kept = self.kept();
        let Some(Current { header, .. }) = &kept.current else {
            return Ok(None);
        };
        let file = File::open(&*self.path).map_err(|cause| self.io(cause))?;
        Ok(Some((header.clone(), file)))
    }

    /// Puts nothing into place from now on.
    pub(crate) fn close(&self) {
        self.kept().closed = true;
    }

    /// A file without a name, for a snapshot that arrives.
    pub(crate) fn receiver(&self) -> Result<File, SnapshotFault> {
        tempfile::tempfile_in(self.folder()).map_err(|cause| self.io(cause))
    }

    /// Fills such a file.
    pub(crate) async fn receive(
        &self,
        body: &mut (impl AsyncRead + Unpin),
        mut file: tokio::fs::File,
    ) -> io::Result<tokio::fs::File> {
        #[cfg(feature = "sim")]
        if self.work == Work::AtOnce {
            let mut bytes = Vec::new();
            tokio::io::copy(body, &mut bytes).await?;
            let mut file = file.into_std().await;
            file.write_all(&bytes)?;
            return Ok(tokio::fs::File::from_std(file));
        }
        tokio::io::copy(body, &mut file).await?;
        file.sync_all().await?;
        Ok(file)
    }

    /// Does work on snapshots that takes its time.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, SnapshotFault> + Send + 'static,
    ) -> Result<T, SnapshotFault> {
        let done = match self.work {
            Work::Apart => spawn_blocking(work).await,
            #[cfg(feature = "sim")]
            Work::AtOnce => return work(),
        };
        match done {
            Ok(result) => result,
            Err(stopped) => match stopped.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is going down, and this task with it.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Writes the machine's state, and makes it the current snapshot unless a newer one has come
    /// meanwhile.
    pub(crate) fn save<M: Machine>(
        &self,
        header: SnapshotHeader,
        machine: &M,
    ) -> Result<(), SnapshotFault> {
        let file = self.temporary()?;
        let size = write(file.as_file(), &header, machine).map_err(|cause| self.io(cause))?;
        self.keep(file, Current { header, size })
    }

    /// Checks and reads a snapshot that has arrived, and makes it the current one.
    pub(crate) fn adopt<M: Machine>(
        &self,
        mut arrived: File,
    ) -> Result<(SnapshotHeader, M), SnapshotFault> {
        let file = self.temporary()?;
        arrived
            .seek(SeekFrom::Start(0))
            .and_then(|_| io::copy(&mut arrived, &mut file.as_file()))
            .map_err(|cause| self.io(cause))?;
        let (current, machine) = self.load(file.as_file())?;
        let header = current.header.clone();
        self.keep(file, current)?;
        Ok((header, machine))
    }

    fn keep(&self, file: NamedTempFile, new: Current) -> Result<(), SnapshotFault> {
        file.as_file().sync_all().map_err(|cause| self.io(cause))?;
        let mut kept = self.kept();
        if kept.closed {
            return Err(SnapshotFault::Closed);
        }
        if kept.current.as_ref().is_some_and(|current| current.header.last > new.header.last) {
            return Ok(());
        }
        file.persist(&*self.path).map_err(|failed| self.io(failed.error))?;
        kept.current = Some(new);
        drop(kept);
        match sync_folder(self.folder()) {
            Err(OpenError::Io { path, cause }) => Err(SnapshotFault::Io { path, cause }),
            _ => Ok(()),
        }
    }

    /// One pass: the machine reads through the checksum. A wrong one is the answer even if the machine
    /// has found fault first.
    fn load<M: Machine>(&self, mut file: &File) -> Result<(Current, M), SnapshotFault> {
        let damaged = |detail| SnapshotFault::Damaged { path: self.path.to_path_buf(), detail };
        let io = |cause| self.io(cause);
        let size = file.metadata().map_err(io)?.len();
        let contents = size.checked_sub(TRAILER).ok_or_else(|| damaged("it is cut short"))?;
        file.seek(SeekFrom::Start(contents)).map_err(io)?;
        let mut trailer = [0; TRAILER as usize];
        file.read_exact(&mut trailer).map_err(io)?;
        let (length, sum) = trailer.split_at(8);
        if length != contents.to_le_bytes() {
            return Err(damaged("it does not have the length it was written with"));
        }
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        let mut summed = Summed { inner: file.take(contents), sum: crc32fast::Hasher::new() };
        let read = read_contents(&mut BufReader::with_capacity(BUFFER, &mut summed));
        io::copy(&mut summed, &mut io::sink()).map_err(io)?;
        if summed.sum.finalize().to_le_bytes() != sum {
            return Err(damaged("its checksum is wrong"));
        }
        let (header, machine) = read.map_err(|fault| match fault {
            ContentsFault::Io(cause) => self.io(cause),
            ContentsFault::Header(detail) => damaged(detail),
            ContentsFault::Machine(cause) => {
                SnapshotFault::Contents { path: self.path.to_path_buf(), cause }
            }
        })?;
        Ok((Current { header, size }, machine))
    }

    fn temporary(&self) -> Result<NamedTempFile, SnapshotFault> {
        tempfile::Builder::new()
            .prefix(super::UNFINISHED)
            .tempfile_in(self.folder())
            .map_err(|cause| self.io(cause))
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    fn io(&self, cause: io::Error) -> SnapshotFault {
        SnapshotFault::Io { path: self.path.to_path_buf(), cause }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no holder of this lock panics")
    }
}

/// Gives the number of bytes written.
fn write<M: Machine>(file: &File, header: &SnapshotHeader, machine: &M) -> io::Result<u64> {
    let inner = BufWriter::with_capacity(BUFFER, file);
    let mut out = Summed { inner, sum: crc32fast::Hasher::new() };
    let header = serde_json::to_vec(header)?;
    out.write_all(MAGIC)?;
    out.write_all(&(header.len() as u32).to_le_bytes())?;
    out.write_all(&header)?;
    machine.freeze(&mut out)?;
    let contents = out.inner.stream_position()?;
    let sum = out.sum.finalize();
    out.inner.write_all(&contents.to_le_bytes())?;
    out.inner.write_all(&sum.to_le_bytes())?;
    out.inner.flush()?;
    Ok(contents + TRAILER)
}

enum ContentsFault {
    Io(io::Error),
    Header(&'static str),
    Machine(RestoreError),
}

impl From<io::Error> for ContentsFault {
    fn from(cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::UnexpectedEof => Self::Header("its header is cut short"),
            _ => Self::Io(cause),
        }
    }
}

fn read_contents<M: Machine>(from: &mut dyn Read) -> Result<(SnapshotHeader, M), ContentsFault> {
    let (mut magic, mut length) = ([0; 8], [0; 4]);
    from.read_exact(&mut magic)?;
    if &magic != MAGIC {
        return Err(ContentsFault::Header("it does not begin like a snapshot of this version"));
    }
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > HEADER_LIMIT {
        return Err(ContentsFault::Header("its header is too long"));
    }
    let mut header = vec![0; length as usize];
    from.read_exact(&mut header)?;
    let header = serde_json::from_slice(&header)
        .map_err(|_| ContentsFault::Header("its header cannot be read"))?;
    Ok((header, M::restore(from).map_err(ContentsFault::Machine)?))
}

/// Sums what passes.
struct Summed<T> {
    inner: T,
    sum: crc32fast::Hasher,
}

impl<T: Read> Read for Summed<T> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.sum.update(&into[..read]);
        Ok(read)
    }
}

impl<T: Write> Write for Summed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
