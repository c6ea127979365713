//! `abide cluster status|token`.

use std::time::Duration;

use abide_api::{BrokerRole, JoinRole};

use super::console::{Format, answer, answer_json, table, tell};
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
    tell(&format!(
        "Good once, until {}. On the new machine: abide agent join --broker HOST:7443",
        words::when(token.expires_at)
    ));
    Ok(())
}

/// Shows the brokers, and who leads.
///
/// # Errors
/// [`CommandError`].
pub async fn cluster_status(store: &Store, format: Format) -> Result<(), CommandError> {
    let cluster = super::api(store)?.cluster().await?;
    if format == Format::Json {
        return Ok(answer_json(&cluster)?);
    }
    let rows = cluster.brokers.iter().map(|broker| {
        let role = match broker.role {
            BrokerRole::Leader => "leader",
            BrokerRole::Follower => "follower",
            BrokerRole::Learner => "learner",
            BrokerRole::Joining => "joining",
            BrokerRole::Unreachable => "unreachable",
        };
        let lag = broker.lag.map(|lag| lag.to_string()).unwrap_or_default();
        [broker.id.clone(), broker.url.clone(), role.to_owned(), lag]
    });
    answer(&table(["BROKER", "URL", "ROLE", "BEHIND"], rows))?;
    let may = match (&cluster.leader, cluster.can_lose) {
        (None, _) => {
            "No broker leads now: sessions go on, none can be started or found.".to_owned()
        }
        (_, 0) => "No broker may fail without starts and reconnects stopping.".to_owned(),
        (_, 1) => "One broker may fail without anybody noticing.".to_owned(),
        (_, more) => format!("{more} brokers may fail without anybody noticing."),
    };
    answer(&may)?;
    if let Some(ca) = store.cluster()?.and_then(|known| known.trust.fingerprint()) {
        answer(&format!("The CA's SHA-256: {ca}"))?;
    }
    Ok(())
}
