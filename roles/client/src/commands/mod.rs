//! The commands of `abide` that act as a client: what they do, say and answer to scripts.
//!
//! What a script may want goes to standard output; what a person is told goes to standard error.

mod agents;
mod cluster;
mod config;
mod config_edit;
mod connect;
mod console;
mod drain;
mod drill;
mod error;
mod kept;
mod login;
mod placement;
mod recovery;
mod sessions;
mod standing;
mod users;
mod words;

use jiff::Timestamp;

use crate::api::Api;
use crate::brokers::Brokers;
use crate::store::{KnownCluster, Store, StoreError};

pub use agents::list_agents;
pub use cluster::{TokenOptions, cluster_token, remove_broker};
pub use config::{
    ApplyOptions, ConfigText, apply_config, config_history, diff_config, show_config,
};
pub use config_edit::edit_config;
pub use connect::{ConnectOptions, Target, Through, connect};
pub use console::{Format, secret_from};
pub use drain::{DrainOptions, drain_agents, undrain_agents};
pub use drill::{Drill, DrillError, DrillOptions, drill};
pub use error::{CommandError, ExitCode};
pub use login::{LoginOptions, LogoutScope, login, logout};
pub use placement::explain_placement;
pub use recovery::{confirm_agent, expect_agents, place_again, recovery_status};
pub use sessions::{Confirmation, abandon_session, end_session, list_sessions};
pub use standing::{Looking, cluster_status};
pub use users::{
    NewUser, UserCommandError, add_user, list_users, remove_user, set_password, set_standing,
};

/// The API in the name of whoever logged in here.
///
/// # Errors
/// [`CommandError::NotLoggedIn`], or the store's.
fn api(store: &Store) -> Result<Api, CommandError> {
    let (Some(cluster), Some(login)) = (store.cluster()?, store.login()?) else {
        return Err(CommandError::NotLoggedIn);
    };
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
    if login.expires_at.0.0 <= now {
        return Err(CommandError::NotLoggedIn);
    }
    let brokers = Brokers::remembered(&cluster).map_err(CommandError::Tls)?;
    Ok(Api::new(brokers, login.token))
}

/// Keeps the brokers that are known by now, the one that answered last first.
///
/// # Errors
/// The store's.
fn remember(store: &Store, brokers: &Brokers) -> Result<(), StoreError> {
    let Some(old) = store.cluster()? else {
        return Ok(());
    };
    let trust = old.trust.clone();
    let new = KnownCluster { brokers: brokers.urls(), named: brokers.named(), trust };
    if new == old { Ok(()) } else { store.keep_cluster(&new) }
}
