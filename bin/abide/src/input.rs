//! What the commands need from people and files: configurations, tokens, passphrases.

use std::fs;
use std::io::Read;
use std::path::Path;

use abide_client::commands;
use abide_config::BaseUrl;
use abide_tls::JoinToken;
use anyhow::{Context, bail};
use zeroize::Zeroizing;

pub fn broker_settings(path: &Path) -> anyhow::Result<abide_broker::Settings> {
    let text = read_config(path)?;
    abide_broker::settings_from(path, &text).map_err(|problems| WrongConfig(problems).into())
}

pub fn agent_settings(path: &Path) -> anyhow::Result<abide_agent::Settings> {
    let text = read_config(path)?;
    abide_agent::settings_from(path, &text).map_err(|problems| WrongConfig(problems).into())
}

fn read_config(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration file {}", path.display()))
}

/// A configuration file with problems: exit code 2, as for a wrong command line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongConfig(abide_config::Problems);

/// The one thing that a packaged configuration file cannot know.
pub fn say_public_url(config: &Path, url: Option<&BaseUrl>) -> anyhow::Result<()> {
    let Some(url) = url else { return Ok(()) };
    Ok(abide_config::say_first(config, "public_url", url.as_str())?)
}

pub fn join_token(file: Option<&Path>) -> anyhow::Result<JoinToken> {
    Ok(secret_in(file, "Token: ")?.trim().parse()?)
}

/// Of a recovery bundle.
pub fn passphrase(file: Option<&Path>, prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    let passphrase = secret_in(file, prompt)?;
    if passphrase.is_empty() {
        bail!("the passphrase is empty; nothing was changed");
    }
    Ok(passphrase)
}

/// The first line of the file that was named, or of standard input, or what is asked for.
fn secret_in(file: Option<&Path>, prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    match file {
        None => Ok(commands::secret_from(false, prompt)?),
        Some(path) if path == Path::new("-") => Ok(commands::secret_from(true, prompt)?),
        Some(path) => {
            let mut text = Zeroizing::new(String::new());
            fs::File::open(path)
                .and_then(|mut file| file.read_to_string(&mut text))
                .with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
        }
    }
}
