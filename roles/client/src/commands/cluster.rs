//! `abide cluster token|remove`.

use std::time::Duration;

use abide_api::{Broker, Cluster, JoinRole};

use super::console::{Format, answer, answer_json, tell};
use super::sessions::{Confirmation, consent};
use super::{CommandError, words};
use crate::store::Store;

/// What `abide cluster token` is told.
#[derive(Debug, Clone, Copy)]
pub struct TokenOptions {
    /// What the machine is to be.
    pub role: JoinRole,
    /// For how long the token is good; the cluster's default if absent.
    pub valid_for: Option<Duration>,
}

/// Makes a one-time token and writes it, alone, to standard output.
///
/// # Errors
/// [`CommandError`].
pub async fn cluster_token(
    store: &Store,
    options: TokenOptions,
    format: Format,
) -> Result<(), CommandError> {
    let seconds = options.valid_for.map(|it| u32::try_from(it.as_secs()).unwrap_or(u32::MAX));
    let token = super::api(store)?.join_token(options.role, seconds).await?;
    if format == Format::Json {
        return Ok(answer_json(&token)?);
    }
    answer(&token.token)?;
    let role = match options.role {
        JoinRole::Agent => "agent",
        JoinRole::Broker => "broker",
    };
    tell(&format!(
        "Good once, until {}. On the new machine: abide {role} join --broker HOST:7443",
        words::when(token.expires_at)
    ));
    Ok(())
}

/// Takes a broker that is gone for good out of the cluster.
///
/// # Errors
/// [`CommandError`]; the cluster refuses where the rest would be no majority.
pub async fn remove_broker(
    store: &Store,
    name: &str,
    confirmation: Confirmation,
) -> Result<(), CommandError> {
    let api = super::api(store)?;
    let cluster = api.cluster_by_leader().await?;
    let broker = named(&cluster, name)?;
    let question = format!(
        "{} ({}) leaves the cluster for good, and what it has signed counts no more. Remove it?",
        broker.id, broker.url
    );
    consent(confirmation, &question)?;
    api.remove_broker(&broker.id).await?;
    tell("The broker is removed. To come back it must join anew: abide broker join");
    Ok(())
}

/// The broker of this id, its beginning, or URL.
fn named<'a>(cluster: &'a Cluster, name: &str) -> Result<&'a Broker, CommandError> {
    let url = name.trim_end_matches('/');
    let fits = |it: &&Broker| it.id.starts_with(name) || it.url.trim_end_matches('/') == url;
    let found: Vec<_> = cluster.brokers.iter().filter(fits).collect();
    match found[..] {
        [broker] => Ok(broker),
        [] => Err(CommandError::NoSuchBroker(name.to_owned())),
        _ => Err(CommandError::AmbiguousBroker { name: name.to_owned(), count: found.len() }),
    }
}
