//! The audit log: every decision about a person's access, one JSON object a line.
//!
//! A record has no place for a password, a token or a pass; tokens go by their ids.

mod read;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::iter;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use abide_model::{AgentId, SessionId};
use abide_ticket::TokenId;
use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::{error, info};

pub use read::{AuditFound, AuditPlace, AuditWish};

/// What was decided about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// A login.
    Login,
    /// A logout, of one token or of all.
    Logout,
    /// A call of the API that needs a token.
    Call,
    /// A start of a session.
    Start,
    /// A ticket for a session.
    Ticket,
    /// The redemption of a ticket.
    Redeem,
    /// A viewer's connection.
    Attach,
    /// The end of a session, asked for.
    End,
    /// The abandoning of a session.
    Abandon,
    /// A machine that would join the cluster.
    Join,
    /// A change by an administrator.
    Administer,
}

/// How it was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Yes.
    Allowed,
    /// No.
    Refused,
}

/// One decision. Fields that are `None` are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AuditRecord<'a> {
    /// About what.
    pub decision: Decision,
    /// How.
    pub verdict: Verdict,
    /// About whom: the name as typed, or as proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<&'a str>,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Which session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// Which agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<&'a AgentId>,
    /// Which token or ticket, by its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// Why, in a few words that are not a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
}

impl<'a> AuditRecord<'a> {
    /// A record with nothing but the decision; the rest by struct update.
    pub fn new(decision: Decision, verdict: Verdict) -> Self {
        Self {
            decision,
            verdict,
            user: None,
            address: None,
            session: None,
            agent: None,
            token: None,
            reason: None,
        }
    }
}

/// Records that may wait for the disk: some seconds of the busiest broker.
const QUEUE: usize = 65_536;

/// How long the first record of a batch waits for others. Without it a busy broker wakes the writer,
/// and has it open the file, for nearly every record, which costs more than making them.
const GATHER: Duration = Duration::from_millis(5);

/// Records in one write at the most.
const BATCH: usize = 1024;

/// Writes records to a file, or nowhere. Clones share it.
///
/// A thread of its own writes, since a disk that stands still must not hold up what was decided. A
/// record is on its way for some milliseconds ([`AuditLog::flush`] shortens that). The last clone
/// waits for the thread when it is dropped; a process that is killed loses what was on its way.
#[derive(Debug, Clone, Default)]
pub struct AuditLog(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// `None` only while it is being dropped.
    queue: Option<SyncSender<Entry>>,
    writer: Option<JoinHandle<()>>,
    lost: Arc<AtomicU64>,
}

enum Entry {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

impl AuditLog {
    /// Appends to this file (0640 if it is made). It is opened for each batch of records, so that it
    /// can be rotated by renaming it.
    ///
    /// # Errors
    /// When it cannot be opened now.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        append(&path, b"")?;
        let (queue, entries) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let writer =
            Writer { path: path.clone(), entries, lost: Arc::clone(&lost), failing: false };
        let thread = thread::Builder::new().name("abide-audit".into());
        let writer = Some(thread.spawn(move || writer.run())?);
        Ok(Self(Some(Arc::new(Inner { path, queue: Some(queue), writer, lost }))))
    }

    /// Keeps nothing.
    pub fn none() -> Self {
        Self(None)
    }

    /// Queues one record of a few hundred bytes. One that cannot be written is counted, and logged
    /// when that begins and when it ends; the decision stands.
    pub fn record(&self, record: AuditRecord<'_>) {
        let Some(inner) = &self.0 else { return };
        let line = Line { at: OffsetDateTime::now_utc(), record };
        let mut bytes = serde_json::to_vec(&line).expect("a record is texts and ids");
        bytes.push(b'\n');
        let queued = inner.queue.as_ref().is_some_and(|it| it.try_send(Entry::Line(bytes)).is_ok());
        if !queued {
            inner.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all records before this call were written, or could not be.
    pub fn flush(&self) {
        let Some(queue) = self.0.as_ref().and_then(|inner| inner.queue.as_ref()) else { return };
        let (done, written) = sync_channel(1);
        if queue.send(Entry::Flush(done)).is_ok() {
            self.0.iter().for_each(|inner| inner.hurry());
            // The writer answers, or is gone: then there is nothing to wait for.
            let _ = written.recv();
        }
    }

    /// The newest records that `pick` wants of their lines. Reads a bounded piece, which may hold none that
    /// is wanted. Blocks on the disk.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read<T>(
        &self,
        wish: &AuditWish,
        pick: impl Fn(&str) -> Option<T>,
    ) -> io::Result<AuditFound<T>> {
        match &self.0 {
            None => Ok(AuditFound { records: Vec::new(), before: None }),
            Some(inner) => {
                self.flush();
                read::read(&inner.path, wish, pick)
            }
        }
    }

    /// How many records could not be written since the start.
    pub fn lost(&self) -> u64 {
        self.0.as_ref().map_or(0, |inner| inner.lost.load(Ordering::Relaxed))
    }
}

impl Inner {
    /// Ends the writer's gathering.
    fn hurry(&self) {
        self.writer.iter().for_each(|writer| writer.thread().unpark());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue = None;
        self.hurry();
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing more to write.
            let _ = writer.join();
        }
    }
}

struct Writer {
    path: PathBuf,
    entries: Receiver<Entry>,
    lost: Arc<AtomicU64>,
    failing: bool,
}

impl Writer {
    /// Writes what waits, in one write, until nobody can record any more.
    fn run(mut self) {
        while let Ok(first) = self.entries.recv() {
            if matches!(first, Entry::Line(_)) {
                thread::park_timeout(GATHER);
            }
            let (mut batch, mut lines, mut waiting) = (Vec::new(), 0, Vec::new());
            for entry in iter::once(first).chain(self.entries.try_iter().take(BATCH)) {
                match entry {
                    Entry::Line(line) => {
                        batch.extend_from_slice(&line);
                        lines += 1;
                    }
                    Entry::Flush(done) => waiting.push(done),
                }
            }
            if lines > 0 {
                self.write(&batch, lines);
            }
            for done in waiting {
                // Whoever waits no more need not be told.
                let _ = done.send(());
            }
        }
    }

    fn write(&mut self, batch: &[u8], lines: u64) {
        match append(&self.path, batch) {
            Ok(()) if self.failing => {
                self.failing = false;
                info!(lost = self.lost.load(Ordering::Relaxed), "Audit log is written again");
            }
            Ok(()) => {}
            Err(cause) => {
                self.lost.fetch_add(lines, Ordering::Relaxed);
                if !self.failing {
                    let (path, error) = (self.path.display(), &cause as &dyn std::error::Error);
                    error!(%path, error, "Audit log cannot be written");
                }
                self.failing = true;
            }
        }
    }
}

fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o640).open(path)?.write_all(bytes)
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(serialize_with = "rfc3339")]
    at: OffsetDateTime,
    #[serde(flatten)]
    record: AuditRecord<'a>,
}

fn rfc3339<S: Serializer>(at: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.format(&Rfc3339).map_err(serde::ser::Error::custom)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_of_json_and_rotation_loses_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let log = AuditLog::open(path.clone()).unwrap();
        log.record(AuditRecord {
            user: Some("ada\n{\"forged\":1}"),
            address: Some("192.0.2.1".parse().unwrap()),
            reason: Some("credentials"),
            ..AuditRecord::new(Decision::Login, Verdict::Refused)
        });
        log.flush();
        std::fs::rename(&path, folder.path().join("audit.log.1")).unwrap();
        log.record(AuditRecord::new(Decision::Logout, Verdict::Allowed));
        log.flush();

        let first = std::fs::read_to_string(folder.path().join("audit.log.1")).unwrap();
        assert_eq!(first.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&first).unwrap();
        assert_eq!(value["decision"], "login");
        assert_eq!(value["verdict"], "refused");
        assert_eq!(value["user"], "ada\n{\"forged\":1}");
        assert_eq!(value["address"], "192.0.2.1");
        assert!(value["at"].as_str().unwrap().ends_with('Z'));
        assert!(value.get("session").is_none());
        let second = std::fs::read_to_string(&path).unwrap();
        assert!(second.contains("\"logout\"") && second.ends_with('\n'));
    }

    #[test]
    fn the_last_clone_waits_until_everything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let log = AuditLog::open(path.clone()).unwrap();
        for _ in 0..3 * BATCH {
            log.record(AuditRecord::new(Decision::Ticket, Verdict::Allowed));
        }
        drop(log.clone());
        drop(log);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3 * BATCH);
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let sub = folder.path().join("log");
        std::fs::create_dir(&sub).unwrap();
        let log = AuditLog::open(sub.join("audit.log")).unwrap();
        std::fs::remove_dir_all(&sub).unwrap();
        log.record(AuditRecord::new(Decision::Login, Verdict::Allowed));
        log.record(AuditRecord::new(Decision::Login, Verdict::Allowed));
        log.flush();
        assert_eq!(log.lost(), 2);
        assert!(AuditLog::open(sub.join("audit.log")).is_err());
    }
}
