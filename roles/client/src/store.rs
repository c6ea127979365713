//! What the command line remembers, in `~/.config/abide` (`$XDG_CONFIG_HOME/abide`):
//! `cluster.json`, the brokers and the CA that was compared; `login.json`, the token (0600). What it
//! keeps of desktops lies elsewhere: see `passes`.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use abide_api::Time;
use abide_config::{Access, BaseUrl, replace_file};
use abide_tls::{certificates_from_pem, pem_of};
use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::http::Trust;
use crate::login::LoggedIn;
use crate::passes::Passes;

const CLUSTER: &str = "cluster.json";
const LOGIN: &str = "login.json";
const PASSES: &str = "passes";

/// The folders.
#[derive(Debug, Clone)]
pub struct Store {
    config: PathBuf,
    passes: Passes,
}

/// The cluster that this person uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownCluster {
    /// Its brokers, in the order in which they are to be asked.
    pub brokers: Vec<BaseUrl>,
    /// Those of them that a person named; never forgotten while the cluster is known.
    pub named: Vec<BaseUrl>,
    /// Whose certificates count.
    pub trust: Trust,
}

/// Why something cannot be remembered or recalled.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nobody knows where this person's files are.
    #[error("the home folder is not known: set HOME or XDG_CONFIG_HOME")]
    NoHome,
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// A file says something else than what was written.
    #[error("{} is damaged: remove it and log in again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Others may read a token or a pass.
    #[error("{} is readable by others: remove it and log in again", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
}

#[derive(Serialize, Deserialize)]
struct ClusterFile {
    brokers: Vec<String>,
    /// All, if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    named: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct LoginFile {
    user: String,
    token: Zeroizing<String>,
    expires_at: Time,
}

impl Store {
    /// This person's.
    ///
    /// # Errors
    /// [`StoreError::NoHome`].
    pub fn of_this_person() -> Result<Self, StoreError> {
        let base = etcetera::choose_base_strategy().map_err(|_| StoreError::NoHome)?;
        let state = base.state_dir().unwrap_or_else(|| base.data_dir());
        Ok(Self::at(base.config_dir().join("abide"), &state.join("abide")))
    }

    /// In these folders, for what a person has set and for what has happened; made when something is
    /// written.
    pub fn at(config: PathBuf, state: &Path) -> Self {
        Self { config, passes: Passes::at(state.join(PASSES)) }
    }

    /// The passes of desktops that were open here.
    pub fn passes(&self) -> &Passes {
        &self.passes
    }

    /// The cluster, if there was a login.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn cluster(&self) -> Result<Option<KnownCluster>, StoreError> {
        let path = self.config.join(CLUSTER);
        let Some(file) = read::<ClusterFile>(&path)? else {
            return Ok(None);
        };
        known(file).map(Some).ok_or(StoreError::Damaged { path })
    }

    /// Remembers the cluster.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keep_cluster(&self, cluster: &KnownCluster) -> Result<(), StoreError> {
        let file = ClusterFile {
            brokers: cluster.brokers.iter().map(BaseUrl::to_string).collect(),
            named: Some(cluster.named.iter().map(BaseUrl::to_string).collect()),
            ca: match &cluster.trust {
                Trust::System => None,
                Trust::Pinned(ca) => Some(pem_of(ca)),
            },
        };
        write(&self.config, CLUSTER, &file)
    }

    /// The login, if there is one; it may have expired.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn login(&self) -> Result<Option<LoggedIn>, StoreError> {
        let path = self.config.join(LOGIN);
        let Some(file) = read::<LoginFile>(&path)? else {
            return Ok(None);
        };
        refuse_exposed(&path)?;
        Ok(Some(LoggedIn { token: file.token, user: file.user, expires_at: file.expires_at }))
    }

    /// Remembers the login.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keep_login(&self, login: &LoggedIn) -> Result<(), StoreError> {
        let file = LoginFile {
            user: login.user.clone(),
            token: login.token.clone(),
            expires_at: login.expires_at,
        };
        write(&self.config, LOGIN, &file)
    }

    /// Forgets the login, not the cluster.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_login(&self) -> Result<(), StoreError> {
        forget(&self.config.join(LOGIN))
    }

    /// Forgets the cluster, and with it whose certificates count.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_cluster(&self) -> Result<(), StoreError> {
        forget(&self.config.join(CLUSTER))
    }
}

/// Removes the file, if it is there.
pub(crate) fn forget(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::Write { path: path.to_owned(), cause })
        }
        _ => Ok(()),
    }
}

/// Writes the file, for its owner alone.
pub(crate) fn write(folder: &Path, name: &str, content: &impl Serialize) -> Result<(), StoreError> {
    let path = folder.join(name);
    let failed = |cause| StoreError::Write { path: path.clone(), cause };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let text = serde_json::to_vec_pretty(content).expect("these are plain maps");
    let text = Zeroizing::new(text);
    replace_file(&path, &text, Access::Owner).map_err(failed)
}

/// What others can read is no secret any more.
pub(crate) fn refuse_exposed(path: &Path) -> Result<(), StoreError> {
    let metadata = fs::metadata(path);
    let metadata = metadata.map_err(|cause| StoreError::Read { path: path.to_owned(), cause })?;
    match metadata.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => Err(StoreError::Exposed { path: path.to_owned() }),
    }
}

pub(crate) fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, StoreError> {
    let text = match fs::read(path) {
        Ok(text) => Zeroizing::new(text),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => {
            return Err(StoreError::Read { path: path.to_owned(), cause });
        }
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|_| StoreError::Damaged { path: path.to_owned() })
}

fn known(file: ClusterFile) -> Option<KnownCluster> {
    let parsed = |urls: &[String]| urls.iter().map(|url| url.parse().ok()).collect();
    let brokers: Option<Vec<BaseUrl>> = parsed(&file.brokers);
    let named: Option<Vec<BaseUrl>> = parsed(file.named.as_ref().unwrap_or(&file.brokers));
    let trust = match file.ca {
        None => Trust::System,
        Some(pem) => Trust::Pinned(certificates_from_pem(&pem)?.into_iter().next()?),
    };
    let brokers = brokers.filter(|brokers| !brokers.is_empty())?;
    Some(KnownCluster { brokers, named: named?, trust })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("deep/abide"), &folder.path().join("state"));
        (folder, store)
    }

    fn login() -> LoggedIn {
        LoggedIn {
            token: "v4.public.secret".to_owned().into(),
            user: "ada".to_owned(),
            expires_at: serde_json::from_str("\"2026-11-23T18:54:00.123Z\"").unwrap(),
        }
    }

    #[test]
    fn what_is_kept_is_recalled_and_only_the_owner_reads_it() {
        let (_folder, store) = store();
        assert!(store.cluster().unwrap().is_none() && store.login().unwrap().is_none());
        let cluster = KnownCluster {
            brokers: vec![
                "https://b.example.org".parse().unwrap(),
                "https://desk.example.org".parse().unwrap(),
            ],
            named: vec!["https://desk.example.org".parse().unwrap()],
            trust: Trust::System,
        };
        store.keep_cluster(&cluster).unwrap();
        store.keep_login(&login()).unwrap();
        assert_eq!(store.cluster().unwrap(), Some(cluster));
        assert_eq!(store.login().unwrap().unwrap().user, "ada");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&store.config), 0o700);
        assert_eq!(mode(&store.config.join(LOGIN)), 0o600);
    }

    #[test]
    fn a_forgotten_login_leaves_the_cluster() {
        let (_folder, store) = store();
        store.keep_login(&login()).unwrap();
        store.forget_login().unwrap();
        store.forget_login().unwrap();
        assert!(store.login().unwrap().is_none());
    }

    #[test]
    fn an_exposed_or_damaged_file_is_refused() {
        let (_folder, store) = store();
        store.keep_login(&login()).unwrap();
        let path = store.config.join(LOGIN);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(store.login(), Err(StoreError::Exposed { .. })));
        fs::write(store.config.join(CLUSTER), "{").unwrap();
        assert!(matches!(store.cluster(), Err(StoreError::Damaged { .. })));
    }
}
