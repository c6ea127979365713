//! The users file: for sites without PAM, the demo and tests.
//!
//! ```toml
//! [users.ada]
//! password = "$argon2id$v=19$m=19456,t=2,p=1$…"
//! groups = ["staff"]
//! admin = true
//! disabled = false
//! ```

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use abide_config::{Access, ReadError, Table, replace_file};
use abide_model::UserName;
use abide_ticket::Role;
use serde::Serialize;
use tracing::{error, info};

use crate::hashing::PasswordHash;

/// Why the users file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// It cannot be read, or says something wrong.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It cannot be written.
    #[error("cannot write the users file {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

/// One user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The password's hash.
    pub password: PasswordHash,
    /// The user's groups.
    pub groups: Vec<String>,
    /// What the user may do.
    pub role: Role,
    /// Whether the user may log in at all.
    pub standing: Standing,
}

/// Whether a user may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Yes.
    Active,
    /// No, whatever the password.
    Disabled,
}

/// All users, by name.
pub type Users = BTreeMap<UserName, User>;

/// The users file. Read again whenever it has changed.
#[derive(Debug)]
pub struct UsersFile {
    path: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    users: Arc<Users>,
    /// Of the content that was last looked at, good or bad.
    stamp: Option<Stamp>,
}

/// What changes when a file is replaced or edited in place.
type Stamp = (u64, u64, i64, i64);

impl UsersFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`UsersError::Read`], with all problems at once.
    pub fn open(path: PathBuf) -> Result<Self, UsersError> {
        let stamp = stamp(&path);
        let users = Arc::new(read(&path)?);
        Ok(Self { path, seen: Mutex::new(Seen { users, stamp }) })
    }

    /// The users as the file has them now. If it has become unreadable or wrong, those that it had
    /// before; that is logged once. Reads a small file if it changed, else only asks for its
    /// times.
    pub fn users(&self) -> Arc<Users> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp(&self.path);
        if stamp != seen.stamp {
            seen.stamp = stamp;
            match read(&self.path) {
                Ok(users) => {
                    info!(users = users.len(), "Users file read again");
                    seen.users = Arc::new(users);
                }
                Err(wrong) => error!(
                    error = &wrong as &dyn std::error::Error,
                    "Users file is unusable; the users it had before stay"
                ),
            }
        }
        Arc::clone(&seen.users)
    }

    /// Changes the file in one step, making it if it is missing (0600). Others that change it at
    /// the same time wait. Comments are lost.
    ///
    /// # Errors
    /// [`UsersError`]; nothing is changed then.
    pub fn change<T>(path: &Path, change: impl FnOnce(&mut Users) -> T) -> Result<T, UsersError> {
        let failed = |cause| UsersError::Write { path: path.to_owned(), cause };
        // The lock is on a file of its own, since the users file itself is replaced.
        let lock = lock_file(path).map_err(failed)?;
        let mut users = match read(path) {
            Ok(users) => users,
            Err(ReadError::Unreadable { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                Users::new()
            }
            Err(wrong) => return Err(wrong.into()),
        };
        let outcome = change(&mut users);
        replace_file(path, to_toml(&users).as_bytes(), Access::Owner).map_err(failed)?;
        drop(lock);
        Ok(outcome)
    }
}

fn lock_file(path: &Path) -> io::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(name)?;
    file.lock()?;
    Ok(file)
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
}

fn read(path: &Path) -> Result<Users, ReadError> {
    abide_config::read_file(path, shape)
}

fn shape(root: &mut Table<'_>) -> Users {
    let mut users = Users::new();
    for (name, mut table) in root.named_tables("users") {
        let password =
            table.parsed("password", "an argon2id hash, as `abide user add` writes it").optional();
        let groups = table.strings("groups").or(Vec::new());
        let admin = table.boolean("admin").or(false);
        let disabled = table.boolean("disabled").or(false);
        let Ok(name) = name.parse() else {
            table.problem("a user's name has 1 to 256 bytes, no slashes or control characters");
            continue;
        };
        let Some(password) = password else {
            table.problem("needs a password: run `abide user add`");
            continue;
        };
        let role = if admin { Role::Administrator } else { Role::User };
        let standing = if disabled { Standing::Disabled } else { Standing::Active };
        users.insert(name, User { password, groups, role, standing });
    }
    users
}

#[derive(Serialize)]
struct FileShape<'u> {
    users: BTreeMap<&'u str, UserShape<'u>>,
}

#[derive(Serialize)]
struct UserShape<'u> {
    password: String,
    groups: &'u [String],
    admin: bool,
    disabled: bool,
}

fn to_toml(users: &Users) -> String {
    let users = users
        .iter()
        .map(|(name, user)| {
            let shape = UserShape {
                password: user.password.to_string(),
                groups: &user.groups,
                admin: user.role == Role::Administrator,
                disabled: user.standing == Standing::Disabled,
            };
            (name.as_str(), shape)
        })
        .collect();
    let body = toml::to_string(&FileShape { users }).expect("texts and booleans are TOML");
    format!("# Written by `abide user`; read again by brokers when it changes.\n\n{body}")
}
