//! Log lines, on standard error, with the time in UTC.

use std::io::{self, IsTerminal};
use std::str::FromStr;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The environment variable that says what is logged, where no flag does.
const VARIABLE: &str = "ABIDE_LOG";
/// What is logged where nothing says otherwise: our milestones, others' warnings.
const DEFAULT: &str = "info";

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people; in colour on a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        match text {
            "human" => Ok(LogFormat::Human),
            "json" => Ok(LogFormat::Json),
            other => Err(LogError::Format { found: other.to_owned() }),
        }
    }
}

/// What is logged and how.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`) for Abide's own lines, others' warnings
    /// staying as they are; or a whole filter such as `abide_raft=debug,hyper=info`. If `None`,
    /// the environment's `ABIDE_LOG`, else `info`.
    pub filter: Option<String>,
    /// How lines look.
    pub format: LogFormat,
}

/// Why nothing is logged.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error("{found:?} says not what to log: use a level such as debug, or abide_raft=debug,warn")]
    Filter {
        /// What was given.
        found: String,
        /// Why not.
        #[source]
        cause: ParseError,
    },
    /// No such format.
    #[error("{found:?} is no log format: use human or json")]
    Format {
        /// What was given.
        found: String,
    },
    /// Something else in this process logs already.
    #[error("logging was set up already")]
    Again(#[source] TryInitError),
}

/// Sets up logging for the whole process; once, first of all.
///
/// # Errors
/// [`LogError`].
pub fn init_log(options: &LogOptions) -> Result<(), LogError> {
    let colour = io::stderr().is_terminal();
    match options.format {
        LogFormat::Human => human(filter(options)?, colour, io::stderr).try_init(),
        LogFormat::Json => json(filter(options)?, io::stderr).try_init(),
    }
    .map_err(LogError::Again)
}

fn filter(options: &LogOptions) -> Result<EnvFilter, LogError> {
    let said = options.filter.clone().or_else(|| std::env::var(VARIABLE).ok());
    let said = said.filter(|said| !said.trim().is_empty()).unwrap_or_else(|| DEFAULT.to_owned());
    let whole = if said.parse::<tracing::Level>().is_ok() {
        // Targets are matched by their beginning, and all of ours begin so.
        format!("warn,abide={said}")
    } else {
        said.clone()
    };
    EnvFilter::try_new(whole).map_err(|cause| LogError::Filter { found: said, cause })
}

fn human<W>(filter: EnvFilter, colour: bool, to: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_ansi(colour).with_writer(to);
    Registry::default().with(filter).with(lines)
}

fn json<W>(filter: EnvFilter, to: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(to);
    Registry::default().with(filter).with(lines)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn options(filter: &str) -> LogOptions {
        LogOptions { filter: Some(filter.into()), format: LogFormat::Human }
    }

    fn told(page: &Page) -> String {
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    fn say_things() {
        tracing::info!(target: "abide_broker::http", session = "s1", "Session started");
        tracing::debug!(target: "abide_broker::http", "Detail");
        tracing::info!(target: "hyper", "Somebody else's");
        tracing::warn!(target: "hyper", "Somebody else's warning");
    }

    fn lines_with(filter_text: &str) -> String {
        let page = Page::default();
        let writer = page.clone();
        let subscriber =
            human(filter(&options(filter_text)).unwrap(), false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, say_things);
        told(&page)
    }

    #[test]
    fn a_level_is_about_our_own_lines() {
        for (level, ours, detail) in [
            ("warn", false, false),
            ("info", true, false),
            ("", true, false),
            ("debug", true, true),
        ] {
            let told = lines_with(level);
            assert_eq!(told.contains("Session started session=\"s1\""), ours, "{level}: {told}");
            assert_eq!(told.contains("Detail"), detail, "{level}: {told}");
            assert!(!told.contains("Somebody else's\n"), "{level}: {told}");
            assert!(told.contains("Somebody else's warning"), "{level}: {told}");
        }
    }

    #[test]
    fn a_whole_filter_is_taken_as_it_is() {
        let told = lines_with("hyper=info");
        assert!(told.contains("Somebody else's\n") && !told.contains("Session started"), "{told}");
        for bad in ["abide=loud", "a=b=c"] {
            let refused = filter(&options(bad)).unwrap_err();
            assert!(matches!(refused, LogError::Filter { found, .. } if found == bad));
        }
    }

    #[test]
    fn json_is_one_object_a_line_with_the_time_in_utc() {
        let page = Page::default();
        let writer = page.clone();
        let subscriber = json(filter(&options("info")).unwrap(), move || writer.clone());
        tracing::subscriber::with_default(subscriber, say_things);
        let told = told(&page);
        let first: serde_json::Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
        assert_eq!(first["message"], "Session started");
        assert_eq!(first["session"], "s1");
        assert_eq!(first["level"], "INFO");
        assert!(first["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn formats_go_by_name() {
        assert_eq!("json".parse::<LogFormat>().unwrap(), LogFormat::Json);
        assert_eq!("human".parse::<LogFormat>().unwrap(), LogFormat::Human);
        assert!(matches!("xml".parse::<LogFormat>(), Err(LogError::Format { .. })));
    }
}
