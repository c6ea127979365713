//! Reading the log from its end, a bounded piece at a time, also the part that was rotated away last.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Read at once. A line that is longer is left out; none is written that comes near.
const BLOCK: u64 = 64 * 1024;
/// Read for one wish at the most; then the reader says where it stopped.
const BUDGET: u64 = 16 * 1024 * 1024;

/// Where a line begins: in which file, by its inode, which a rotation by renaming keeps; and the byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditPlace {
    inode: u64,
    offset: u64,
}

/// What shall be read.
#[derive(Debug, Clone, Copy)]
pub struct AuditWish {
    /// Only lines before this one.
    pub before: Option<AuditPlace>,
    /// So many at most.
    pub limit: usize,
}

/// What was found.
#[derive(Debug)]
pub struct AuditFound<T> {
    /// Newest first, each with its place.
    pub records: Vec<(AuditPlace, T)>,
    /// From where to read on; `None` at the log's beginning.
    pub before: Option<AuditPlace>,
}

/// Reads the log at `path`, and what was renamed to `path.1`.
///
/// # Errors
/// A file that is there cannot be read.
pub(super) fn read<T>(
    path: &Path,
    wish: &AuditWish,
    pick: impl Fn(&str) -> Option<T>,
) -> io::Result<AuditFound<T>> {
    let mut files = Vec::new();
    for path in [path.to_owned(), rotated(path)] {
        match File::open(&path) {
            Ok(file) => files.push(Backwards::new(file)?),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(cause),
        }
    }
    if let Some(before) = wish.before {
        // What stood before a line that is rotated away for good is gone too.
        let at = files.iter().position(|it| it.inode == before.inode).unwrap_or(files.len());
        files.drain(..at);
        files.iter_mut().take(1).for_each(|it| it.end = it.end.min(before.offset));
    }
    let (mut records, mut budget) = (Vec::new(), BUDGET);
    for mut file in files {
        while let Some(lines) = file.back()? {
            for (offset, line) in lines.iter().rev() {
                let place = AuditPlace { inode: file.inode, offset: *offset };
                records.extend(pick(line).map(|it| (place, it)));
                if records.len() >= wish.limit {
                    return Ok(AuditFound { records, before: Some(place) });
                }
            }
            budget = budget.saturating_sub(BLOCK);
            if budget == 0 {
                let before = AuditPlace { inode: file.inode, offset: file.end };
                return Ok(AuditFound { records, before: Some(before) });
            }
        }
    }
    Ok(AuditFound { records, before: None })
}

fn rotated(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

/// A file, from its end.
struct Backwards {
    file: File,
    inode: u64,
    /// What stands from here on was read.
    end: u64,
}

impl Backwards {
    fn new(file: File) -> io::Result<Self> {
        let about = file.metadata()?;
        Ok(Self { file, inode: about.ino(), end: about.len() })
    }

    /// The whole lines of the block before, each with where it begins; `None` at the file's beginning.
    fn back(&mut self) -> io::Result<Option<Vec<(u64, String)>>> {
        if self.end == 0 {
            return Ok(None);
        }
        let begin = self.end.saturating_sub(BLOCK);
        let mut block = vec![0; usize::try_from(self.end - begin).unwrap_or(0)];
        self.file.read_exact_at(&mut block, begin)?;
        // The first line of a block may have begun before it: it is read with the next one.
        let whole = match block.iter().position(|it| *it == b'\n') {
            _ if begin == 0 => 0,
            Some(at) if at + 1 < block.len() => at + 1,
            _ => block.len(),
        };
        let mut at = begin + whole as u64;
        self.end = if whole == block.len() { begin } else { at };
        let mut lines = Vec::new();
        for line in block[whole..].split_inclusive(|it| *it == b'\n') {
            // One that is being written is read when it is whole.
            if let Some(line) = line.strip_suffix(b"\n") {
                lines.push((at, String::from_utf8_lossy(line).into_owned()));
            }
            at += line.len() as u64;
        }
        Ok(Some(lines))
    }
}

impl fmt::Display for AuditPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.inode, self.offset)
    }
}

/// Why a text is no place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a place in an audit log")]
pub struct NoPlace;

impl FromStr for AuditPlace {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (inode, offset) = text.split_once('-').ok_or(NoPlace)?;
        let number = |text| u64::from_str_radix(text, 16).map_err(|_| NoPlace);
        Ok(Self { inode: number(inode)?, offset: number(offset)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(range: std::ops::Range<u32>) -> String {
        range.map(|n| format!("{{\"n\":{n}}}\n")).collect()
    }

    /// All that is read in pages of `limit`, newest first.
    fn all(path: &Path, limit: usize, pick: impl Fn(&str) -> bool) -> Vec<String> {
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let wish = AuditWish { before, limit };
            let pick = |line: &str| pick(line).then(|| line.to_owned());
            let found = read(path, &wish, pick).unwrap();
            assert!(found.records.len() <= limit);
            seen.extend(found.records.into_iter().map(|(_, line)| line));
            let Some(next) = found.before else { return seen };
            // As it travels.
            before = Some(next.to_string().parse().unwrap());
        }
    }

    #[test]
    fn pages_have_every_line_once_newest_first_over_a_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        std::fs::write(rotated(&path), lines(0..9_000)).unwrap();
        std::fs::write(&path, lines(9_000..20_000)).unwrap();
        let expected: Vec<_> = lines(0..20_000).lines().rev().map(str::to_owned).collect();
        assert_eq!(all(&path, 777, |_| true), expected);
        assert_eq!(all(&path, 3, |line| line.ends_with(":0}")), ["{\"n\":0}"]);

        let wish = AuditWish { before: None, limit: 10 };
        let before = read(&path, &wish, |line| Some(line.len())).unwrap().before;
        // It is rotated while somebody reads.
        std::fs::rename(&path, rotated(&path)).unwrap();
        std::fs::write(&path, lines(20_000..20_005)).unwrap();
        let wish = AuditWish { before, limit: 1 };
        let found = read(&path, &wish, |line| Some(line.to_owned())).unwrap();
        assert_eq!(found.records[0].1, "{\"n\":19989}");
    }

    #[test]
    fn a_line_that_is_being_written_is_not_read_yet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        std::fs::write(&path, "one\ntwo\nthr").unwrap();
        assert_eq!(all(&path, 9, |_| true), ["two", "one"]);
        assert!(all(&folder.path().join("none"), 9, |_| true).is_empty());
    }

    #[test]
    fn a_line_beyond_all_measure_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let long = "x".repeat(200_000);
        std::fs::write(&path, format!("one\n{long}\ntwo\n")).unwrap();
        let read = all(&path, 9, |line| !line.contains('x'));
        assert_eq!(read, ["two", "one"]);
    }

    #[test]
    fn a_search_in_vain_stops_at_its_budget_and_goes_on_from_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let line = format!("{}\n", "y".repeat(1000));
        std::fs::write(&path, format!("first\n{}", line.repeat(20_000))).unwrap();
        let pick = |line: &str| (line == "first").then_some(());
        let wish = AuditWish { before: None, limit: 5 };
        let found = read(&path, &wish, pick).unwrap();
        assert!(found.records.is_empty() && found.before.is_some());
        assert_eq!(all(&path, 5, |line| line == "first"), ["first"]);
    }
}
