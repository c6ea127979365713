//! `abide login`, `abide logout`.

use abide_config::BaseUrl;
use abide_tls::Fingerprint;

use super::CommandError;
use super::console::{Answers, agreed, question, somebody_is_there, tell};
use crate::api::Api;
use crate::brokers::Brokers;
use crate::contact::{Contact, UnknownCa, first_contact};
use crate::http::Trust;
use crate::login::LoginError;
use crate::store::{KnownCluster, Store};

/// What `abide login` is told.
#[derive(Debug, Default)]
pub struct LoginOptions {
    /// A broker; the cluster of the last login if absent.
    pub broker: Option<BaseUrl>,
    /// Asked for if absent.
    pub username: Option<String>,
    /// The CA's fingerprint, so that nobody need compare it.
    pub trust: Option<Fingerprint>,
    /// The answers are the lines of standard input.
    pub answers_from_stdin: bool,
}

/// What a logout ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogoutScope {
    /// This computer's login.
    Here,
    /// Every login and every pass of this person.
    Everywhere,
}

/// Logs in and remembers it.
///
/// # Errors
/// [`CommandError`].
pub async fn login(store: &Store, options: LoginOptions) -> Result<(), CommandError> {
    let cluster = meet(store, &options).await?;
    let username = match options.username {
        Some(username) => username,
        None if options.answers_from_stdin || !somebody_is_there() => {
            return Err(CommandError::NoUserName);
        }
        None => question("User name: ").map_err(LoginError::NoAnswer)?,
    };
    let brokers = Brokers::remembered(&cluster).map_err(CommandError::Tls)?;
    let mut answers = match options.answers_from_stdin {
        true => Answers::Lines,
        false => Answers::Terminal,
    };
    let login = brokers.login(&username, &mut answers).await?;
    if is_elsewhere_or_other(store, &cluster, &login.user) {
        store.passes().forget_all()?;
    }
    store.keep_cluster(&cluster)?;
    store.keep_login(&login)?;
    let user = login.user.clone();
    // All brokers are learned while one is there, for when that one is not.
    let api = Api::new(brokers, login.token);
    if api.cluster().await.is_ok() {
        super::remember(store, api.brokers())?;
    }
    tell(&format!("Logged in as {user}. Your desktop: abide connect"));
    Ok(())
}

/// Ends the login. No desktop ends.
///
/// # Errors
/// [`CommandError`]; what is remembered here is forgotten all the same, unless everything was to
/// end everywhere and no broker took it.
pub async fn logout(
    store: &Store,
    scope: LogoutScope,
    forget_cluster: bool,
) -> Result<(), CommandError> {
    let ended = match super::api(store) {
        Ok(api) => api.logout(scope == LogoutScope::Everywhere).await.map_err(CommandError::from),
        Err(CommandError::NotLoggedIn) if scope == LogoutScope::Here => Ok(()),
        Err(error) => Err(error),
    };
    if scope == LogoutScope::Everywhere {
        ended?;
    } else if ended.is_err() {
        tell("No broker was told; the login ends by itself when its time is over.");
    }
    store.passes().forget_all()?;
    store.forget_login()?;
    if forget_cluster {
        store.forget_cluster()?;
    }
    tell("Logged out. Your desktops go on.");
    Ok(())
}

/// Whether the last login here was at another cluster, or another person's. Nothing known counts as
/// other.
fn is_elsewhere_or_other(store: &Store, cluster: &KnownCluster, user: &str) -> bool {
    let same_user = store.login().is_ok_and(|last| last.is_some_and(|last| last.user == user));
    let known = store.cluster().ok().flatten();
    !same_user || known.is_none_or(|last| last.brokers != cluster.brokers)
}

/// The cluster to log in to, and whose certificates count there.
async fn meet(store: &Store, options: &LoginOptions) -> Result<KnownCluster, CommandError> {
    let known = store.cluster()?;
    let url = match (&options.broker, known) {
        (None, None) => return Err(CommandError::NoBroker),
        (None, Some(known)) => return Ok(known),
        (Some(url), Some(mut known)) if known.brokers.contains(url) => {
            if !known.named.contains(url) {
                known.named.push(url.clone());
            }
            return Ok(known);
        }
        (Some(url), _) => url.clone(),
    };
    let trust = match first_contact(&url).await? {
        Contact::Believed => Trust::System,
        Contact::UnknownCa(unknown) => compare(&url, unknown, options)?,
    };
    Ok(KnownCluster { brokers: vec![url.clone()], named: vec![url], trust })
}

fn compare(
    url: &BaseUrl,
    unknown: UnknownCa,
    options: &LoginOptions,
) -> Result<Trust, CommandError> {
    let shown = unknown.fingerprint;
    let believed = match options.trust {
        Some(expected) => expected == shown,
        None if options.answers_from_stdin || !somebody_is_there() => false,
        None => {
            tell(&format!(
                "{url} has a certificate by a CA that this computer does not know.\n\
                 The CA's SHA-256: {shown}\n\
                 Compare it with what `abide broker init` showed."
            ));
            agreed("Is it the same?").map_err(LoginError::NoAnswer)?
        }
    };
    match believed {
        true => Ok(Trust::Pinned(unknown.ca)),
        false => Err(CommandError::CaNotTrusted(shown)),
    }
}
