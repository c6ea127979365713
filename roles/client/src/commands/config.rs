//! `abide config show|apply|diff|history`: the cluster's configuration. `edit` has a file of its own.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use abide_api::{Config, ConfigRequest, ProblemKind};
use similar::TextDiff;

use super::console::{Format, answer, answer_json, table, tell};
use super::{CommandError, words};
use crate::api::Api;
use crate::error::CallError;
use crate::store::Store;

/// What the text in force is called in differences.
const IN_FORCE: &str = "in force";

/// A text to compare with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigText {
    /// A version that the cluster keeps.
    Version(u64),
    /// A file; `-` is standard input.
    File(PathBuf),
}

/// What `abide config apply` is told.
#[derive(Debug)]
pub struct ApplyOptions {
    /// A file; `-` is standard input.
    pub file: PathBuf,
    /// What for.
    pub note: Option<String>,
    /// Only say what would be changed.
    pub dry_run: bool,
}

/// Writes a version's text: the one in force, if none is named.
///
/// # Errors
/// [`CommandError`].
pub async fn show_config(
    store: &Store,
    version: Option<u64>,
    format: Format,
) -> Result<(), CommandError> {
    let api = super::api(store)?;
    let config = match version {
        Some(number) => api.config_version(number).await?,
        None => api.config().await?,
    };
    if format == Format::Json {
        return Ok(answer_json(&config)?);
    }
    warn_unreadable(&config);
    if config.version == 0 {
        tell(
            "No configuration was taken yet: every agent is offered to everybody. To begin: abide config edit",
        );
        return Ok(());
    }
    tell(&title(&config));
    answer(config.text.strip_suffix('\n').unwrap_or(&config.text))?;
    Ok(())
}

/// Takes a file's text into force, or says what that would change.
///
/// # Errors
/// [`CommandError`]; what is wrong with the text, all at once.
pub async fn apply_config(
    store: &Store,
    options: ApplyOptions,
    format: Format,
) -> Result<(), CommandError> {
    let text = read(&options.file)?;
    let api = super::api(store)?;
    let old = api.config().await?;
    if options.dry_run {
        return try_out(&api, &old, &text, format).await;
    }
    if old.version > 0 && old.text == text {
        tell(&format!("It is what is in force: {}", title(&old)));
        return if format == Format::Json { Ok(answer_json(&old)?) } else { Ok(()) };
    }
    let new = take(&api, old.version, text, options.note).await?;
    taken(&new, format)
}

async fn try_out(api: &Api, old: &Config, text: &str, format: Format) -> Result<(), CommandError> {
    let check = api.check_config(text).await?;
    if format == Format::Json {
        answer_json(&check)?;
    } else if check.problems.is_empty() {
        answer_difference(&difference((IN_FORCE, &old.text), ("new", text)))?;
    }
    match check.problems.is_empty() {
        true => Ok(()),
        false => Err(CommandError::BadConfig(check.problems)),
    }
}

/// Shows what one text has and the other has not: the second is what is in force, or is to be.
///
/// # Errors
/// [`CommandError`].
pub async fn diff_config(
    store: &Store,
    first: ConfigText,
    second: Option<ConfigText>,
    format: Format,
) -> Result<(), CommandError> {
    let api = super::api(store)?;
    let (old, new) = match (first, second) {
        // A file is what somebody wants to come.
        (file @ ConfigText::File(_), None) => (None, Some(file)),
        (old, None) => (Some(old), None),
        (old, new) => (Some(old), new),
    };
    let (old_name, old) = named_text(&api, old).await?;
    let (new_name, new) = named_text(&api, new).await?;
    let text = difference((&old_name, &old), (&new_name, &new));
    match format {
        Format::Json => answer_json(&serde_json::json!({
            "from": old_name, "to": new_name, "same": old == new, "diff": text,
        }))?,
        Format::Table => answer_difference(&text)?,
    }
    Ok(())
}

/// Shows the versions that are kept.
///
/// # Errors
/// [`CommandError`].
pub async fn config_history(store: &Store, format: Format) -> Result<(), CommandError> {
    let history = super::api(store)?.config_history().await?;
    match format {
        Format::Json => answer_json(&history)?,
        Format::Table if history.versions.is_empty() => {
            tell("No configuration was taken yet. To begin: abide config edit");
        }
        Format::Table => {
            let rows = history.versions.iter().map(|it| {
                let note = it.note.clone().unwrap_or_default();
                [it.version.to_string(), words::when(it.at), it.by.clone(), note]
            });
            answer(&table(["VERSION", "TAKEN", "BY", "NOTE"], rows))?;
        }
    }
    Ok(())
}

/// Takes a text into force, unless another was taken since `base`.
pub(super) async fn take(
    api: &Api,
    base: u64,
    text: String,
    note: Option<String>,
) -> Result<Config, CommandError> {
    let request = ConfigRequest { base, text, note };
    api.put_config(&request).await.map_err(|cause| match (&cause, cause.kind()) {
        (CallError::Refused { problem, .. }, Some(ProblemKind::BadConfig)) => {
            let detail = problem.detail.as_deref().unwrap_or_default();
            CommandError::BadConfig(detail.lines().map(str::to_owned).collect())
        }
        _ => cause.into(),
    })
}

/// Tells that a version is in force.
pub(super) fn taken(new: &Config, format: Format) -> Result<(), CommandError> {
    tell(&format!("In force: version {}.", new.version));
    warn_unreadable(new);
    if format == Format::Json { Ok(answer_json(new)?) } else { Ok(()) }
}

fn warn_unreadable(config: &Config) {
    if let Some(problem) = &config.problem {
        tell(&format!(
            "The broker that answers cannot read it, and goes by an earlier one: its Abide is older.\n{problem}"
        ));
    }
}

/// "Version 3, by ada, 14:03:09: note".
pub(super) fn title(config: &Config) -> String {
    let mut title = format!("Version {}", config.version);
    if let Some(by) = &config.by {
        title.push_str(&format!(", by {by}"));
    }
    if let Some(at) = config.at {
        title.push_str(&format!(", {}", words::when(at)));
    }
    if let Some(note) = &config.note {
        title.push_str(&format!(": {note}"));
    }
    title
}

/// A unified difference of two named texts; empty if there is none.
pub(super) fn difference((old_name, old): (&str, &str), (new_name, new): (&str, &str)) -> String {
    let text = TextDiff::from_lines(old, new);
    text.unified_diff().context_radius(3).header(old_name, new_name).to_string()
}

fn answer_difference(text: &str) -> Result<(), CommandError> {
    match text.trim_end_matches('\n') {
        "" => tell("They are the same."),
        text => answer(text)?,
    }
    Ok(())
}

/// A text and what it is called; `None` is the one in force.
async fn named_text(
    api: &Api,
    which: Option<ConfigText>,
) -> Result<(String, String), CommandError> {
    Ok(match which {
        None => (IN_FORCE.to_owned(), api.config().await?.text),
        Some(ConfigText::Version(number)) => {
            (format!("version {number}"), api.config_version(number).await?.text)
        }
        Some(ConfigText::File(path)) => (path.display().to_string(), read(&path)?),
    })
}

fn read(path: &Path) -> Result<String, CommandError> {
    let text = match path == Path::new("-") {
        true => {
            let mut text = String::new();
            std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
        }
        false => fs::read_to_string(path),
    };
    text.map_err(|cause| CommandError::NoFile { path: path.to_owned(), cause })
}
