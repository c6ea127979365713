//! The terminal: questions, secrets, tables, answers for scripts.

use std::io::{self, BufRead, IsTerminal, Write};

use abide_api::{Message, Prompt, PromptStyle};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::login::Asker;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Table,
    /// For scripts: the API's own JSON.
    Json,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The terminal or standard input failed.
    #[error("the terminal cannot be read")]
    Terminal(#[source] io::Error),
    /// Standard input ended before the last question.
    #[error("standard input holds no answer to \"{0}\"")]
    InputEnded(String),
}

/// Answers the login's questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// By the person at the terminal.
    Terminal,
    /// By the lines of standard input.
    Lines,
}

impl Asker for Answers {
    type Error = NoAnswer;

    fn show(&mut self, message: &Message) {
        tell(&message.text);
    }

    fn ask(&mut self, prompt: &Prompt) -> Result<Zeroizing<String>, NoAnswer> {
        match (self, prompt.style) {
            (Answers::Lines, _) => {
                line()?.ok_or_else(|| NoAnswer::InputEnded(prompt.text.trim().to_owned()))
            }
            (Answers::Terminal, PromptStyle::EchoOff) => hidden(&prompt.text),
            (Answers::Terminal, PromptStyle::EchoOn) => question(&prompt.text).map(Zeroizing::new),
        }
    }
}

/// A secret: the first line of standard input, or typed at the terminal without being shown.
///
/// # Errors
/// [`NoAnswer`].
pub fn secret_from(stdin: bool, prompt: &str) -> Result<Zeroizing<String>, NoAnswer> {
    match stdin {
        true => line()?.ok_or_else(|| NoAnswer::InputEnded(prompt.trim().to_owned())),
        false => hidden(prompt),
    }
}

fn hidden(prompt: &str) -> Result<Zeroizing<String>, NoAnswer> {
    rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(NoAnswer::Terminal)
}

/// Whether somebody can be asked.
pub(super) fn somebody_is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// The answer to a question that may be seen.
pub(super) fn question(prompt: &str) -> Result<String, NoAnswer> {
    let mut stderr = io::stderr();
    write!(stderr, "{prompt}").and_then(|()| stderr.flush()).map_err(NoAnswer::Terminal)?;
    let answer = line()?.ok_or_else(|| NoAnswer::InputEnded(prompt.trim().to_owned()))?;
    Ok(answer.trim().to_owned())
}

/// Whether the person says yes.
pub(super) fn agreed(question_text: &str) -> Result<bool, NoAnswer> {
    let answer = question(&format!("{question_text} [y/N] "))?;
    Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes"))
}

/// One line of standard input; nothing beyond it is consumed for good, since all go through one
/// buffer.
fn line() -> Result<Option<Zeroizing<String>>, NoAnswer> {
    let mut text = Zeroizing::new(String::new());
    let length = io::stdin().lock().read_line(&mut text).map_err(NoAnswer::Terminal)?;
    if length == 0 {
        return Ok(None);
    }
    let kept = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(kept);
    Ok(Some(text))
}

/// Tells the person something.
pub(super) fn tell(text: &str) {
    // With standard error closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes an answer as one line of JSON.
pub(super) fn answer_json_line(value: &impl Serialize) -> io::Result<()> {
    answer(&serde_json::to_string(value)?)
}

/// Writes an answer.
pub(super) fn answer(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        // Whoever reads has enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes an answer for scripts.
pub(super) fn answer_json(value: &impl Serialize) -> io::Result<()> {
    answer(&serde_json::to_string_pretty(value)?)
}

/// Spaces left and right of what a cell shows.
const BETWEEN_COLUMNS: (u16, u16) = (0, 2);

/// A table that fits the terminal; as wide as it needs where there is none.
pub(super) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding(BETWEEN_COLUMNS);
    }
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}
