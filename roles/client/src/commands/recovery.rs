//! `abide cluster recover`: a table that was lost.

use abide_api::Recovery;

use super::console::{Format, answer, answer_json, table, tell};
use super::{CommandError, words};
use crate::store::Store;

/// Shows how far the rebuild is.
///
/// # Errors
/// [`CommandError`].
pub async fn recovery_status(store: &Store, format: Format) -> Result<(), CommandError> {
    show(&super::api(store)?.recovery().await?, format)
}

/// Names agents that must have reported before sessions are placed again.
///
/// # Errors
/// [`CommandError`].
pub async fn expect_agents(store: &Store, agents: Vec<String>) -> Result<(), CommandError> {
    show(&super::api(store)?.expect_agents(agents).await?, Format::Table)
}

/// Has sessions placed again, whoever has not reported.
///
/// # Errors
/// [`CommandError`].
pub async fn place_again(store: &Store) -> Result<(), CommandError> {
    show(&super::api(store)?.place_again().await?, Format::Table)
}

/// Vouches for what an agent lists on orders that the cluster cannot check.
///
/// # Errors
/// [`CommandError`].
pub async fn confirm_agent(store: &Store, agent: String) -> Result<(), CommandError> {
    let confirmed = super::api(store)?.confirm_agent(agent).await?;
    answer(&format!("{} sessions were taken in.", confirmed.sessions))?;
    Ok(())
}

fn show(recovery: &Recovery, format: Format) -> Result<(), CommandError> {
    if format == Format::Json {
        return Ok(answer_json(recovery)?);
    }
    let rows = recovery.agents.iter().map(|agent| {
        let reported = if agent.reported { "yes" } else { "not yet" };
        let (sessions, unverified) = (agent.sessions.to_string(), agent.unverified.to_string());
        [agent.name.clone(), reported.to_owned(), sessions, unverified]
    });
    answer(&table(["AGENT", "REPORTED", "SESSIONS", "UNVERIFIED"], rows))?;
    let since = words::when(recovery.since);
    answer(&match (&recovery.placed_by, recovery.expected.is_empty(), &recovery.missing[..]) {
        (Some(by), ..) => format!("The table was lost; new sessions are started again, by {by}."),
        (None, true, _) => format!(
            "No new session is started since {since}. Name the agents to wait for (abide cluster \
             recover expect NAME\u{2026}), or say that it may go on (abide cluster recover go)."
        ),
        (None, false, missing) => format!(
            "No new session is started since {since}, before these have reported: {}.",
            missing.join(", ")
        ),
    })?;
    if recovery.agents.iter().any(|agent| agent.unverified > 0) {
        tell(
            "Unverified sessions are handed to nobody before: abide cluster recover confirm AGENT",
        );
    }
    Ok(())
}
