//! Finds damage in SQLite's write-ahead log that SQLite itself takes for its end.
//!
//! SQLite reads frames until the first whose checksum is wrong and silently forgets the rest: right after
//! a crash, when the rest is a transaction that was never acknowledged; wrong after a flipped bit, when
//! the rest is what was. The two can be told apart. We have one writer and every commit is synced before
//! the next begins, so a crash can tear the last transaction only: behind the first bad frame there can
//! be one commit mark of the same log at most. Two are proof of damage.
//!
//! Layout: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>. A header of 32 bytes (magic,
//! format, page size, sequence, two salts, two checksums), then frames: page number, the database's size
//! after a commit or 0, the two salts, two checksums over everything before, and the page.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::schema::OpenError;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The magic number, but for its last bit: 1 if the checksums read their words big endian.
const MAGIC: u32 = 0x377f_0682;
/// The page size of the databases we make, in bytes.
const PAGE: usize = 4096;

/// Where SQLite keeps the write-ahead log of a database.
pub(super) fn path_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Refuses a log with proof of damage. A missing, empty or torn one is sound.
pub(super) fn check(database: &Path) -> Result<(), OpenError> {
    let path = path_of(database);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(OpenError::io(&path, cause)),
    };
    match damage(BufReader::with_capacity(1 << 20, file)) {
        Ok(None) => Ok(()),
        Ok(Some(detail)) => Err(OpenError::damaged(&path, detail)),
        Err(cause) => Err(OpenError::io(&path, cause)),
    }
}

/// What proves that the log is damaged, if anything does.
fn damage(mut from: impl Read) -> io::Result<Option<String>> {
    let mut header = [0; HEADER];
    if !fill(&mut from, &mut header)? {
        return Ok(None);
    }
    let mut sum = Checksum { big_endian: word(&header, 0) & 1 == 1, state: [0, 0] };
    sum.update(&header[..24]);
    let sound_header =
        word(&header, 0) & !1 == MAGIC && sum.state == [word(&header, 6), word(&header, 7)];

    let page = if sound_header { word(&header, 2) as usize } else { PAGE };
    let mut salts = sound_header.then_some([word(&header, 4), word(&header, 5)]);
    let mut frame = vec![0; FRAME_HEADER + page];
    let (mut bad, mut lost) = (!sound_header, 0);
    while fill(&mut from, &mut frame)? {
        let of_frame = [word(&frame, 2), word(&frame, 3)];
        let ours = *salts.get_or_insert(of_frame) == of_frame;
        if !bad {
            sum.update(&frame[..8]);
            sum.update(&frame[FRAME_HEADER..]);
            bad = !ours || sum.state != [word(&frame, 4), word(&frame, 5)];
        }
        if bad && ours && word(&frame, 1) != 0 {
            lost += 1;
        }
    }
    // A header is synced before its first frame is written, and fits a sector: it cannot be torn.
    Ok(match (sound_header, lost) {
        (true, 0 | 1) | (false, 0) => None,
        _ => Some(format!("a wrong checksum is followed by {lost} complete transactions")),
    })
}

struct Checksum {
    big_endian: bool,
    state: [u32; 2],
}

impl Checksum {
    fn update(&mut self, bytes: &[u8]) {
        for pair in bytes.chunks_exact(8) {
            let word = |at: usize| {
                let four = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
                if self.big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
            };
            let [first, second] = self.state;
            let first = first.wrapping_add(word(0)).wrapping_add(second);
            self.state = [first, second.wrapping_add(word(4)).wrapping_add(first)];
        }
    }
}

/// The `n`th 32-bit word; numbers in headers are big endian.
fn word(bytes: &[u8], n: usize) -> u32 {
    let at = n * 4;
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Fills `into`, or says that the file ends before that.
fn fill(from: &mut impl Read, into: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(into) {
        Ok(()) => Ok(true),
        Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(cause) => Err(cause),
    }
}
