//! `abide session list|end|abandon`.

use abide_api::Session;
use uuid::Uuid;

use super::console::{Format, agreed, answer, answer_json, somebody_is_there, table, tell};
use super::{CommandError, words};
use crate::api::Api;
use crate::login::LoginError;
use crate::store::Store;

/// Whether a person is asked before work may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// If somebody is at the terminal.
    Ask,
    /// The command said yes.
    Given,
}

/// Shows the sessions.
///
/// # Errors
/// [`CommandError`].
pub async fn list_sessions(store: &Store, format: Format) -> Result<(), CommandError> {
    let sessions = super::api(store)?.sessions().await?;
    match format {
        Format::Json => answer_json(&sessions)?,
        Format::Table if sessions.sessions.is_empty() => {
            tell("You have no session. Start one: abide connect");
        }
        Format::Table => {
            let header = ["SESSION", "USER", "SERVER", "PROFILE", "STATE", "CREATED", "NOTE"];
            answer(&table(header, sessions.sessions.iter().map(row)))?;
        }
    }
    Ok(())
}

/// Ends a session, and every program in it.
///
/// # Errors
/// [`CommandError`].
pub async fn end_session(
    store: &Store,
    name: &str,
    confirmation: Confirmation,
) -> Result<(), CommandError> {
    let api = super::api(store)?;
    let id = resolve(&api, name).await?;
    confirm(confirmation, "Every program in it ends, and unsaved work is lost. End it?")?;
    api.end(&id).await?;
    store.passes().forget(&id)?;
    tell("The session ends.");
    Ok(())
}

/// Stops tracking a session that cannot be reached.
///
/// # Errors
/// [`CommandError`].
pub async fn abandon_session(
    store: &Store,
    name: &str,
    confirmation: Confirmation,
) -> Result<(), CommandError> {
    let api = super::api(store)?;
    let id = resolve(&api, name).await?;
    let question = "It may still be running, and nobody will get back to it. Abandon it?";
    confirm(confirmation, question)?;
    api.abandon(&id).await?;
    store.passes().forget(&id)?;
    tell("The session is abandoned; its server ends it should it come back.");
    Ok(())
}

/// The id that this names: itself, or the one that begins so.
pub(super) async fn resolve(api: &Api, name: &str) -> Result<String, CommandError> {
    if let Ok(id) = name.parse::<Uuid>() {
        return Ok(id.to_string());
    }
    let sessions = api.sessions().await?.sessions;
    let mut matching = sessions.iter().filter(|session| session.id.starts_with(name));
    match (matching.next(), matching.count()) {
        (Some(session), 0) => Ok(session.id.clone()),
        (None, _) => Err(CommandError::NoSuchSession(name.to_owned())),
        (Some(_), more) => Err(CommandError::Ambiguous { name: name.to_owned(), count: more + 1 }),
    }
}

pub(super) fn confirm(confirmation: Confirmation, question: &str) -> Result<(), CommandError> {
    if confirmation == Confirmation::Given || !somebody_is_there() {
        return Ok(());
    }
    match agreed(question).map_err(LoginError::NoAnswer)? {
        true => Ok(()),
        false => Err(CommandError::Declined),
    }
}

/// The same for what hurts others: with nobody at the terminal it must have been said beforehand.
pub(super) fn consent(confirmation: Confirmation, question: &str) -> Result<(), CommandError> {
    if confirmation == Confirmation::Ask && !somebody_is_there() {
        return Err(CommandError::NobodyToAsk(question.to_owned()));
    }
    confirm(confirmation, question)
}

fn row(session: &Session) -> [String; 7] {
    [
        session.id.clone(),
        session.user.clone(),
        session.agent_name.clone(),
        session.profile.clone(),
        words::state(session).to_owned(),
        words::when(session.created_at),
        words::note(session),
    ]
}
