//! The passes that this computer keeps, one file a session, in `~/.local/state/abide/passes`
//! (`$XDG_STATE_HOME`): the way back into a desktop while no broker answers.
//!
//! A pass is for one viewer: two on the same one would take the line from each other for ever. So
//! whoever stands on a line holds its file's lock, and a pass that is held is given to nobody else.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::attach::Way;
use crate::store::{StoreError, forget, read, refuse_exposed, write};

/// A pass that lay unused for so long is refused by every agent with anything like the usual settings.
const STALE_AFTER: Duration = Duration::from_hours(30 * 24);

/// The folder.
#[derive(Debug, Clone)]
pub struct Passes(PathBuf);

/// What is told of a desktop before anybody can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desktop {
    /// Its server, for people.
    pub server: String,
    /// What kind it is.
    pub profile: String,
}

/// Which desktop is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// The one that was opened last; of this profile, if one is named.
    Latest(Option<&'a str>),
    /// This one; the session's id, or its beginning.
    Session(&'a str),
}

/// What is kept of the wanted one.
#[derive(Debug)]
pub enum Recalled {
    /// Nothing.
    Nothing,
    /// A pass that another process stands on a line with.
    InUse(Desktop),
    /// A way in.
    Kept(Box<Way>, Desktop, Hold),
}

/// The lock of a kept pass; given up with this value.
#[derive(Debug)]
pub struct Hold {
    path: PathBuf,
    file: File,
}

#[derive(Serialize, Deserialize)]
struct PassFile {
    #[serde(flatten)]
    desktop: Desktop,
    rfb_url: String,
    pass: Zeroizing<String>,
    status_token: Zeroizing<String>,
}

impl Passes {
    /// In this folder, which is made when the first is kept.
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Keeps the way's pass in place of the session's earlier one, and holds it. None where the
    /// session's id can be no file's name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keep(&self, way: &Way, desktop: &Desktop) -> Result<Option<Hold>, StoreError> {
        self.forget_stale()?;
        let Some(name) = name_of(&way.session) else {
            return Ok(None);
        };
        let file = PassFile {
            desktop: desktop.clone(),
            rfb_url: way.rfb_url.clone(),
            pass: way.pass.clone(),
            status_token: way.status_token.clone(),
        };
        write(&self.0, &name, &file)?;
        hold(self.0.join(name))
    }

    /// The way into the wanted desktop, if its pass is kept here.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn recall(&self, wanted: Wanted<'_>) -> Result<Recalled, StoreError> {
        for (session, path) in self.newest_first()? {
            if let Wanted::Session(name) = wanted
                && !session.starts_with(name)
            {
                continue;
            }
            let Some(file) = read::<PassFile>(&path)? else {
                continue;
            };
            if let Wanted::Latest(Some(profile)) = wanted
                && file.desktop.profile != profile
            {
                continue;
            }
            refuse_exposed(&path)?;
            let PassFile { desktop, rfb_url, pass, status_token } = file;
            return Ok(match hold(path)? {
                None => Recalled::InUse(desktop),
                Some(hold) => {
                    let way = Way { session, rfb_url, pass, status_token };
                    Recalled::Kept(Box::new(way), desktop, hold)
                }
            });
        }
        Ok(Recalled::Nothing)
    }

    /// Forgets the session's pass.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget(&self, session: &str) -> Result<(), StoreError> {
        name_of(session).map_or(Ok(()), |name| forget(&self.0.join(name)))
    }

    /// Forgets all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_all(&self) -> Result<(), StoreError> {
        self.newest_first()?.iter().try_for_each(|(_, path)| forget(path))
    }

    fn forget_stale(&self) -> Result<(), StoreError> {
        let is_stale =
            |path: &Path| modified(path).elapsed().is_ok_and(|unused| unused > STALE_AFTER);
        let all = self.newest_first()?;
        all.iter().filter(|(_, path)| is_stale(path)).try_for_each(|(_, path)| forget(path))
    }

    /// The sessions, and their files.
    fn newest_first(&self) -> Result<Vec<(String, PathBuf)>, StoreError> {
        let failed = |cause| StoreError::Read { path: self.0.clone(), cause };
        let entries = match fs::read_dir(&self.0) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let session = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
            // What has another name was not put there by this.
            if let Some(session) = session
                && name_of(&session).is_some_and(|name| path.ends_with(name))
            {
                all.push((session, path));
            }
        }
        all.sort_by_key(|(_, path)| std::cmp::Reverse(modified(path)));
        Ok(all)
    }
}

impl Hold {
    /// Forgets the pass that is held, and no later one of the same session.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget(self) -> Result<(), StoreError> {
        let inode = |it: io::Result<fs::Metadata>| it.map(|it| (it.dev(), it.ino())).ok();
        if inode(fs::metadata(&self.path)) == inode(self.file.metadata()) {
            forget(&self.path)?;
        }
        Ok(())
    }
}

/// Holds the file, unless somebody else does or it is gone.
fn hold(path: PathBuf) -> Result<Option<Hold>, StoreError> {
    let file = match File::open(&path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|cause| StoreError::Read { path: path.clone(), cause })?,
    };
    let held = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
    Ok(held.then_some(Hold { path, file }))
}

fn name_of(session: &str) -> Option<String> {
    let id: Uuid = session.parse().ok()?;
    Some(format!("{}.json", id.hyphenated()))
}

fn modified(path: &Path) -> SystemTime {
    let modified = fs::metadata(path).and_then(|it| it.modified());
    modified.unwrap_or(SystemTime::UNIX_EPOCH)
}

impl fmt::Display for Desktop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "your desktop on {}", self.server)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const FIRST: &str = "01a20a2a-7775-7760-9c8c-8e1cd9a82b65";
    const SECOND: &str = "01b20a2a-7775-7760-9c8c-8e1cd9a82b66";

    fn way(session: &str, pass: &str) -> Way {
        Way {
            session: session.to_owned(),
            rfb_url: "wss://a1.example.org/s/x/rfb".to_owned(),
            pass: pass.to_owned().into(),
            status_token: "status".to_owned().into(),
        }
    }

    fn desktop(profile: &str) -> Desktop {
        Desktop { server: "a1".to_owned(), profile: profile.to_owned() }
    }

    /// The pass that is recalled, its lock given up at once.
    fn recalled(passes: &Passes, wanted: Wanted<'_>) -> Option<String> {
        match passes.recall(wanted).unwrap() {
            Recalled::Nothing => None,
            Recalled::InUse(_) => Some("in use".to_owned()),
            Recalled::Kept(way, _, _) => Some(way.pass.as_str().to_owned()),
        }
    }

    /// Two sessions were opened, the second later and of another kind.
    fn two() -> (tempfile::TempDir, Passes) {
        let folder = tempfile::tempdir().unwrap();
        let passes = Passes::at(folder.path().join("state/passes"));
        assert!(matches!(passes.recall(Wanted::Latest(None)), Ok(Recalled::Nothing)));
        drop(passes.keep(&way(FIRST, "p1"), &desktop("xfce")).unwrap().unwrap());
        drop(passes.keep(&way(SECOND, "p2"), &desktop("plain")).unwrap().unwrap());
        let earlier = SystemTime::now() - Duration::from_secs(9);
        let file =
            File::options().write(true).open(passes.0.join(format!("{FIRST}.json"))).unwrap();
        file.set_modified(earlier).unwrap();
        (folder, passes)
    }

    #[test]
    fn the_wanted_pass_is_recalled() {
        let (_folder, passes) = two();
        for (wanted, expected) in [
            (Wanted::Latest(None), Some("p2")),
            (Wanted::Latest(Some("xfce")), Some("p1")),
            (Wanted::Latest(Some("other")), None),
            (Wanted::Session(FIRST), Some("p1")),
            (Wanted::Session("01b2"), Some("p2")),
            (Wanted::Session("ff"), None),
        ] {
            assert_eq!(recalled(&passes, wanted).as_deref(), expected, "{wanted:?}");
        }
    }

    #[test]
    fn a_pass_in_use_is_given_to_nobody_else() {
        let (_folder, passes) = two();
        let held = passes.recall(Wanted::Session(FIRST)).unwrap();
        assert_eq!(recalled(&passes, Wanted::Session(FIRST)).as_deref(), Some("in use"));
        assert_eq!(recalled(&passes, Wanted::Session(SECOND)).as_deref(), Some("p2"));
        drop(held);
        assert_eq!(recalled(&passes, Wanted::Session(FIRST)).as_deref(), Some("p1"));
    }

    #[test]
    fn only_the_pass_that_is_no_longer_good_is_forgotten() {
        let (_folder, passes) = two();
        let old = passes.keep(&way(FIRST, "old"), &desktop("xfce")).unwrap().unwrap();
        let new = passes.keep(&way(FIRST, "new"), &desktop("xfce")).unwrap().unwrap();
        old.forget().unwrap();
        assert!(passes.0.join(format!("{FIRST}.json")).exists());
        new.forget().unwrap();
        assert_eq!(recalled(&passes, Wanted::Session(FIRST)), None);
        passes.forget_all().unwrap();
        assert_eq!(recalled(&passes, Wanted::Latest(None)), None);
    }

    #[test]
    fn only_the_owner_reads_a_pass_and_no_log_shows_it() {
        let (_folder, passes) = two();
        let path = passes.0.join(format!("{SECOND}.json"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&passes.0), mode(&path)), (0o700, 0o600));
        let shown = format!("{:?}", passes.recall(Wanted::Session(SECOND)).unwrap());
        assert!(shown.contains(SECOND) && !shown.contains("p2"), "{shown}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = passes.recall(Wanted::Session(SECOND));
        assert!(matches!(refused, Err(StoreError::Exposed { .. })), "{refused:?}");
    }

    #[test]
    fn a_session_whose_id_is_no_files_name_is_not_kept() {
        let (folder, passes) = two();
        assert!(passes.keep(&way("../../evil", "p"), &desktop("xfce")).unwrap().is_none());
        assert!(!folder.path().join("evil.json").exists());
        assert_eq!(fs::read_dir(&passes.0).unwrap().count(), 2);
    }

    #[test]
    fn a_pass_that_lay_unused_for_long_is_forgotten() {
        let (_folder, passes) = two();
        let path = passes.0.join(format!("{FIRST}.json"));
        let long_ago = SystemTime::now() - STALE_AFTER - Duration::from_secs(60);
        File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        passes.keep(&way(SECOND, "p3"), &desktop("plain")).unwrap();
        assert!(!path.exists());
    }
}
