//! Folders: whose they are, who else may look, how much space is left.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::Finding;
use crate::account::{Account, name_of};

/// Below this, in MiB, a disk is as good as full.
const FULL: u64 = 256;
/// Below this, in MiB, somebody should look.
const TIGHT: u64 = 2048;

/// Who else may look into a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// Nobody.
    ToOthers,
    /// Everybody may, and none but the owner may write.
    ForWriting,
}

#[derive(Debug, Clone, Copy)]
struct Facts {
    uid: u32,
    mode: u32,
    is_folder: bool,
}

/// Whether the folder is there, belongs to its owner, and is closed as it must be.
pub fn folder(path: &Path, owner: &Account, closed: Closed) -> Finding {
    let facts = std::fs::metadata(path).map(|it| Facts {
        uid: it.uid(),
        mode: it.mode() & 0o7777,
        is_folder: it.is_dir(),
    });
    judge(path, facts, owner, closed)
}

fn judge(path: &Path, facts: io::Result<Facts>, owner: &Account, closed: Closed) -> Finding {
    let (place, name) = (path.display(), &owner.name);
    let (mode, forbidden) = match closed {
        Closed::ToOthers => ("700", 0o077),
        Closed::ForWriting => ("755", 0o022),
    };
    let make = format!("install -d -o {name} -m {mode} {place}");
    let facts = match facts {
        Ok(facts) => facts,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Finding::wrong(place, "the folder is not there", make);
        }
        Err(error) => {
            return Finding::wrong(place, format!("cannot be looked at: {error}"), "look as root");
        }
    };
    if !facts.is_folder {
        return Finding::wrong(place, "is no folder", make);
    }
    if facts.uid != owner.uid {
        let what = format!("belongs to {}, not to {name}", name_of(facts.uid));
        return Finding::wrong(place, what, format!("chown -R {name}: {}", path.display()));
    }
    if facts.mode & forbidden != 0 {
        let what = format!("is open to others (mode {:o})", facts.mode);
        return Finding::wrong(place, what, format!("chmod {mode} {}", path.display()));
    }
    Finding::fine(place, format!("belongs to {name} (mode {:o})", facts.mode))
}

/// Whether there is space where the folder lies.
pub fn space(path: &Path) -> Finding {
    let place = format!("space at {}", path.display());
    match rustix::fs::statvfs(path) {
        Ok(facts) => judge_space(place, (facts.f_bavail * facts.f_frsize) >> 20),
        Err(error) => Finding::warning(place, format!("cannot be asked: {error}"), "look as root"),
    }
}

fn judge_space(place: String, mib: u64) -> Finding {
    let what = format!("{mib} MiB are free");
    let mend = "free space: a full disk starts no more sessions";
    match mib {
        0..FULL => Finding::wrong(place, what, mend),
        FULL..TIGHT => Finding::warning(place, what, mend),
        _ => Finding::fine(place, what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grade;

    fn owner() -> Account {
        Account { name: "abide-broker".into(), uid: 990 }
    }

    #[test]
    fn a_folder_must_be_its_owners_and_closed() {
        let facts = |uid, mode| Ok(Facts { uid, mode, is_folder: true });
        let path = Path::new("/x");
        for (facts, closed, expected) in [
            (facts(990, 0o700), Closed::ToOthers, (Grade::Fine, None)),
            (facts(990, 0o750), Closed::ToOthers, (Grade::Wrong, Some("chmod 700 /x"))),
            (facts(990, 0o755), Closed::ForWriting, (Grade::Fine, None)),
            (facts(990, 0o777), Closed::ForWriting, (Grade::Wrong, Some("chmod 755 /x"))),
            (facts(0, 0o700), Closed::ToOthers, (Grade::Wrong, Some("chown -R abide-broker: /x"))),
            (
                Err(io::ErrorKind::NotFound.into()),
                Closed::ToOthers,
                (Grade::Wrong, Some("install -d -o abide-broker -m 700 /x")),
            ),
        ] {
            let found = judge(path, facts, &owner(), closed);
            assert_eq!((found.grade, found.mend.as_deref()), expected, "{}", found.what);
        }
    }

    #[test]
    fn a_disk_that_fills_up_is_told_in_time() {
        let grades = [10, 1000, 10_000].map(|mib| judge_space("/x".into(), mib).grade);
        assert_eq!(grades, [Grade::Wrong, Grade::Warning, Grade::Fine]);
    }

    #[test]
    fn a_real_folder_is_looked_at() {
        let made = tempfile::tempdir().unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(made.path(), private).unwrap();
        let own = rustix::process::geteuid().as_raw();
        let me = Account { name: name_of(own), uid: own };
        assert_eq!(folder(made.path(), &me, Closed::ToOthers).grade, Grade::Fine);
    }
}
