//! Which start orders were used. An order holds for ever, so that a table that was lost can be
//! rebuilt from it; but it starts one session once. Without this, whoever breaks into the agent
//! could start sessions, as everybody who ever had one here, from the orders in its ledger.
//!
//! A file of one line per order, appended to durably before the keeper starts. It is bounded:
//! above [`MOST`], the older half is dropped, and from then on every order as old as those is
//! refused unseen.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use abide_model::{SessionId, Timestamp};

/// Orders that are remembered one by one: years of a busy host's logins, in about 5 MB.
const MOST: usize = 100_000;

/// Why an order starts nothing.
#[derive(Debug, thiserror::Error)]
pub enum UsedError {
    /// It has started its session.
    #[error("the start order for session {0} was used before")]
    Before(SessionId),
    /// It is older than what is remembered.
    #[error("the start order for session {0} is too old")]
    TooOld(SessionId),
    /// The list cannot be read or written.
    #[error("cannot keep the list of used start orders at {path}")]
    Io {
        /// The list.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The list is damaged.
    #[error("the list of used start orders at {path} is damaged in line {line}: remove that line")]
    Damaged {
        /// The list.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
}

/// The list.
#[derive(Debug)]
pub struct UsedOrders {
    path: PathBuf,
    file: File,
    used: BTreeSet<(Timestamp, SessionId)>,
    /// INVARIANT: never lowered; orders made at this time or before are refused.
    forgotten: Timestamp,
    most: usize,
}

impl UsedOrders {
    /// Reads the list in this folder, or begins one.
    ///
    /// # Errors
    /// [`UsedError::Io`], [`UsedError::Damaged`].
    pub fn open(folder: &Path) -> Result<Self, UsedError> {
        let path = folder.join("used-orders");
        let failed = |cause| UsedError::Io { path: path.clone(), cause };
        fs::create_dir_all(folder).map_err(failed)?;
        let file = append(&path).map_err(failed)?;
        let text = fs::read_to_string(&path).map_err(failed)?;
        let mut list =
            Self { file, used: BTreeSet::new(), forgotten: Timestamp(0), most: MOST, path };
        // A last line that a crash cut short was never acted on.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for (index, line) in whole.lines().enumerate() {
            list.take_line(line)
                .ok_or_else(|| UsedError::Damaged { path: list.path.clone(), line: index + 1 })?;
        }
        if !text.is_empty() && !text.ends_with('\n') {
            list.rewrite().map_err(|cause| UsedError::Io { path: list.path.clone(), cause })?;
        }
        Ok(list)
    }

    /// Notes that this session is being started; durable when this returns.
    ///
    /// # Errors
    /// See [`UsedError`].
    pub fn use_up(&mut self, session: SessionId, made_at: Timestamp) -> Result<(), UsedError> {
        if self.used.contains(&(made_at, session)) {
            return Err(UsedError::Before(session));
        }
        if made_at <= self.forgotten && self.forgotten > Timestamp(0) {
            return Err(UsedError::TooOld(session));
        }
        let line = format!("{} {session}\n", made_at.0);
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|cause| UsedError::Io { path: self.path.clone(), cause })?;
        self.used.insert((made_at, session));
        if self.used.len() > self.most {
            self.forget_half();
            self.rewrite().map_err(|cause| UsedError::Io { path: self.path.clone(), cause })?;
        }
        Ok(())
    }

    fn take_line(&mut self, line: &str) -> Option<()> {
        let (time, session) = line.split_once(' ')?;
        let time = Timestamp(time.parse().ok()?);
        match session {
            "forgotten" => self.forgotten = self.forgotten.max(time),
            session => {
                self.used.insert((time, session.parse().ok()?));
            }
        }
        Some(())
    }

    fn forget_half(&mut self) {
        let Some(&(middle, _)) = self.used.iter().nth(self.used.len() / 2) else { return };
        self.forgotten = self.forgotten.max(middle);
        self.used.retain(|(made_at, _)| *made_at > middle);
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut text = format!("{} forgotten\n", self.forgotten.0);
        for (made_at, session) in &self.used {
            text.push_str(&format!("{} {session}\n", made_at.0));
        }
        let _ = fs::remove_file(&new);
        let mut file = append(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        self.file = file;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: u32) -> SessionId {
        format!("0190a6f0-0000-7000-8000-{number:012}").parse().unwrap()
    }

    #[test]
    fn an_order_works_once_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut list = UsedOrders::open(dir.path()).unwrap();
        list.use_up(session(1), Timestamp(5)).unwrap();
        list.use_up(session(2), Timestamp(5)).unwrap();
        assert!(matches!(list.use_up(session(1), Timestamp(5)), Err(UsedError::Before(_))));
        let mut list = UsedOrders::open(dir.path()).unwrap();
        assert!(matches!(list.use_up(session(2), Timestamp(5)), Err(UsedError::Before(_))));
        list.use_up(session(3), Timestamp(4)).unwrap();
    }

    #[test]
    fn what_is_forgotten_is_refused_for_its_age() {
        let dir = tempfile::tempdir().unwrap();
        let mut list = UsedOrders::open(dir.path()).unwrap();
        list.most = 10;
        for number in 1..=11 {
            list.use_up(session(number), Timestamp(number.into())).unwrap();
        }
        assert_eq!(list.used.len(), 5);
        let mut list = UsedOrders::open(dir.path()).unwrap();
        for number in [1, 6] {
            let again = list.use_up(session(number), Timestamp(number.into()));
            assert!(matches!(again, Err(UsedError::TooOld(_))), "{number}");
        }
        let again = list.use_up(session(7), Timestamp(7));
        assert!(matches!(again, Err(UsedError::Before(_))));
        list.use_up(session(99), Timestamp(12)).unwrap();
    }

    #[test]
    fn a_line_cut_short_is_dropped_and_a_damaged_one_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("used-orders");
        fs::write(&path, format!("5 {}\n7 0190", session(1))).unwrap();
        let mut list = UsedOrders::open(dir.path()).unwrap();
        list.use_up(session(2), Timestamp(7)).unwrap();
        assert_eq!(UsedOrders::open(dir.path()).unwrap().used.len(), 2);

        fs::write(&path, format!("5 {}\nrubbish\n", session(1))).unwrap();
        let damaged = UsedOrders::open(dir.path()).unwrap_err();
        assert!(matches!(damaged, UsedError::Damaged { line: 2, .. }));
    }
}
