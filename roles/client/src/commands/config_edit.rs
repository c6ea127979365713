//! `abide config edit`: the text in the person's own editor.
//!
//! ```text
//! text in force ─▶ editor ─▶ problems? ─▶ again, or leave it
//!                    ▲          │ none
//!                    └── no ── the difference: take it? ─▶ taken, or another was first
//! ```
//! Nothing that was typed is lost: where it is not taken, its file stays and is named.

use std::io;
use std::path::Path;
use std::process::Command;

use abide_api::{Config, ProblemKind};
use abide_policy_text::TEMPLATE;
use tempfile::{Builder, NamedTempFile};

use super::CommandError;
use super::config::{difference, take, taken, title};
use super::console::{Format, question, somebody_is_there, tell};
use crate::api::Api;
use crate::login::LoginError;
use crate::store::Store;

/// What is done with an edited text.
enum Choice {
    Take,
    Again,
    Leave,
}

/// Opens the configuration in an editor, and takes into force what comes of it.
///
/// # Errors
/// [`CommandError`]; the text's file is named in it.
pub async fn edit_config(store: &Store, note: Option<String>) -> Result<(), CommandError> {
    let api = super::api(store)?;
    let old = api.config().await?;
    let begin = if old.text.trim().is_empty() { TEMPLATE } else { &old.text };
    let file = Builder::new().prefix("abide-").suffix(".toml").tempfile()?;
    std::fs::write(file.path(), begin)?;
    let done = go_on(&api, &old, file.path(), begin, note).await;
    let is_worth_it = std::fs::read_to_string(file.path()).is_ok_and(|text| text != begin);
    match done {
        Err(cause) if is_worth_it => Err(keep(file, cause)),
        done => done,
    }
}

async fn go_on(
    api: &Api,
    old: &Config,
    file: &Path,
    begin: &str,
    note: Option<String>,
) -> Result<(), CommandError> {
    loop {
        open_editor(file)?;
        let text = std::fs::read_to_string(file)?;
        if text == begin {
            tell("Nothing was changed.");
            return Ok(());
        }
        let problems = api.check_config(&text).await?.problems;
        let choice = match problems.is_empty() {
            true => ask_to_take(old, &text)?,
            false if somebody_is_there() => ask_to_mend(&problems)?,
            false => return Err(CommandError::BadConfig(problems)),
        };
        match choice {
            Choice::Again => {}
            Choice::Leave => return Err(CommandError::Declined),
            Choice::Take => match take(api, old.version, text, note.clone()).await {
                Err(CommandError::Call(cause))
                    if cause.kind() == Some(ProblemKind::ConfigChanged) =>
                {
                    return Err(CommandError::ConfigOvertaken(title(&api.config().await?)));
                }
                taken_or_not => return taken(&taken_or_not?, Format::Table),
            },
        }
    }
}

fn ask_to_mend(problems: &[String]) -> Result<Choice, CommandError> {
    tell(&problems.join("\n"));
    let answer = question("Edit it again? [Y/n] ").map_err(LoginError::NoAnswer)?;
    Ok(match answer.to_lowercase().as_str() {
        "n" | "no" => Choice::Leave,
        _ => Choice::Again,
    })
}

/// A script's editor has said all that there is to say.
fn ask_to_take(old: &Config, text: &str) -> Result<Choice, CommandError> {
    if !somebody_is_there() {
        return Ok(Choice::Take);
    }
    tell(difference(("in force", &old.text), ("new", text)).trim_end());
    let answer = question("Take it into force? [y/N/e(dit)] ").map_err(LoginError::NoAnswer)?;
    Ok(match answer.to_lowercase().as_str() {
        "y" | "yes" => Choice::Take,
        "e" | "edit" => Choice::Again,
        _ => Choice::Leave,
    })
}

/// `VISUAL` and `EDITOR` may hold arguments, so that a shell reads them, as everywhere.
fn open_editor(file: &Path) -> Result<(), CommandError> {
    let mut named = ["VISUAL", "EDITOR"].into_iter().filter_map(|name| std::env::var(name).ok());
    let editor = named.find(|it| !it.trim().is_empty());
    let editor = editor.unwrap_or_else(|| "sensible-editor".to_owned());
    let failed = |cause| CommandError::Editor { editor: editor.clone(), cause };
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(format!("{editor} \"$1\"")).arg("abide").arg(file);
    let status = command.status().map_err(failed)?;
    match status.success() {
        true => Ok(()),
        false => Err(failed(io::Error::other(format!("it ended with {status}")))),
    }
}

/// What was typed stays where it is.
fn keep(file: NamedTempFile, cause: CommandError) -> CommandError {
    match file.keep() {
        Ok((_, path)) => {
            tell(&format!("Your text is kept: {}", path.display()));
            cause
        }
        Err(error) => CommandError::Output(error.error),
    }
}
