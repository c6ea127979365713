//! The cluster's configuration as this broker goes by it: read once for each version.
//!
//! Whoever takes a version into the table has read it. Another broker may run an older Abide that does not
//! know a key of it yet: it goes by the newest version that it can read, and says so.

use std::sync::Arc;

use abide_api::{Problem, ProblemKind};
use abide_model::{CONFIG_NOTE, CONFIG_TEXT, Change, ConfigVersion, Outcome, Refusal, Table};
use abide_policy::ClusterConfig;
use arc_swap::ArcSwap;
use tracing::{error, info};

use crate::broker::Broker;
use crate::problem::Refused;

/// What was read last.
#[derive(Debug, Default)]
pub struct Policies(ArcSwap<Known>);

/// One version, read.
#[derive(Debug, Default)]
struct Known {
    version: Arc<ConfigVersion>,
    config: Arc<ClusterConfig>,
    /// Why `config` is not this version's but an earlier one's.
    problem: Option<Arc<str>>,
}

/// Another configuration, as a person wants it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The version that it goes out from.
    pub base: u64,
    /// What it says.
    pub text: Arc<str>,
    /// Who wants it.
    pub by: Arc<str>,
    /// What for.
    pub note: Arc<str>,
}

impl Wanted {
    /// As the table takes it.
    pub fn change(&self) -> Change {
        let Self { base, text, by, note } = self.clone();
        Change::SetConfig { base, text, by, note }
    }
}

impl Policies {
    /// The configuration that is gone by while this is the table.
    fn of(&self, table: &Table) -> Arc<Known> {
        let known = self.0.load_full();
        if Arc::ptr_eq(&known.version, table.config()) {
            return known;
        }
        // Two may read it at once; they come to the same.
        let known = Arc::new(Known::read(table));
        self.0.store(known.clone());
        known
    }
}

impl Known {
    fn read(table: &Table) -> Self {
        let version = table.config().clone();
        match abide_policy_text::read(&version.text) {
            Ok(config) => {
                if version.number > 0 {
                    let (number, by) = (version.number, &*version.by);
                    info!(number, by, "Configuration of the cluster is in force");
                }
                Self { version, config: Arc::new(config), problem: None }
            }
            Err(problems) => {
                let problem: Arc<str> = problems.to_string().into();
                error!(
                    number = version.number, %problem,
                    "Configuration of the cluster cannot be read here: the last one that can be is in force"
                );
                let earlier = table.config_history().rev();
                let readable =
                    earlier.filter_map(|it| abide_policy_text::read(&it.text).ok()).next();
                let config = Arc::new(readable.unwrap_or_default());
                Self { version, config, problem: Some(problem) }
            }
        }
    }
}

impl Broker {
    /// The cluster's configuration, as the table has it now.
    pub fn policy(&self) -> Arc<ClusterConfig> {
        self.policies.of(&self.raft.latest().0).config.clone()
    }

    /// Why this broker goes by an earlier configuration than the table's, if it does.
    pub fn policy_problem(&self) -> Option<Arc<str>> {
        self.policies.of(&self.raft.latest().0).problem.clone()
    }

    /// Reads a configuration and takes it into the table, as the leader.
    ///
    /// # Errors
    /// The problem, for the person; or this broker does not lead.
    pub async fn configure_here(&self, wanted: &Wanted) -> Result<(), Refused> {
        if let Some(problem) = problem_with(&wanted.text, &wanted.note) {
            return Err(problem.into());
        }
        match self.commit(wanted.change()).await? {
            Outcome::Refused(Refusal::ConfigChanged) => {
                let table = self.raft.latest();
                let ConfigVersion { number, by, .. } = &**table.0.config();
                let detail = match number {
                    0 => "No configuration was taken yet: go out from version 0.".to_owned(),
                    _ => format!(
                        "Version {number}, by {by}, is in force; yours goes out from {}.",
                        wanted.base
                    ),
                };
                Err(ProblemKind::ConfigChanged.because(detail).into())
            }
            Outcome::Refused(refusal) => {
                Err(ProblemKind::Conflict.because(refusal.to_string()).into())
            }
            _ => Ok(()),
        }
    }
}

/// Everything that is wrong with a text, a line each.
pub fn problems_of(text: &str) -> Vec<String> {
    match abide_policy_text::read(text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.to_string().lines().map(str::to_owned).collect(),
    }
}

/// Why a configuration cannot be taken.
fn problem_with(text: &str, note: &str) -> Option<Problem> {
    for (what, has, most) in [("text", text.len(), CONFIG_TEXT), ("note", note.len(), CONFIG_NOTE)]
    {
        if has > most {
            let detail = format!("The {what} has {has} bytes, and may have {most}.");
            return Some(ProblemKind::TooLarge.because(detail));
        }
    }
    if note.chars().any(char::is_control) {
        return Some(ProblemKind::BadRequest.because("The note must be one line of text."));
    }
    let problems = problems_of(text);
    (!problems.is_empty()).then(|| ProblemKind::BadConfig.because(problems.join("\n")))
}

#[cfg(test)]
mod tests {
    use abide_model::{Command, Timestamp};

    use super::*;

    fn table(texts: &[&str]) -> Table {
        let mut table = Table::default();
        for (base, text) in (0..).zip(texts) {
            let (text, by, note) = ((*text).into(), "ada".into(), "".into());
            let change = Change::SetConfig { base, text, by, note };
            assert_eq!(table.apply(Command { at: Timestamp(1), change }), Outcome::Done);
        }
        table
    }

    #[test]
    fn what_cannot_be_read_leaves_the_last_in_force_that_can() {
        let policies = Policies::default();
        assert_eq!(*policies.of(&table(&[])).config, ClusterConfig::default());
        let known = policies.of(&table(&["sessions_per_user = 3"]));
        assert_eq!((known.config.sessions_per_user, &known.problem), (Some(3), &None));
        let newer = ["sessions_per_user = 1", "sessions_per_user = 2", "of_the_future = 1"];
        // Also for a broker that was started since.
        for policies in [policies, Policies::default()] {
            let known = policies.of(&table(&newer));
            assert_eq!(known.config.sessions_per_user, Some(2));
            let problem = known.problem.as_deref().unwrap_or_default();
            assert!(problem.contains("of_the_future: unknown key"), "{problem}");
            let mended = [&newer[..], &["sessions_per_user = 4"]].concat();
            let known = policies.of(&table(&mended));
            assert_eq!((known.config.sessions_per_user, &known.problem), (Some(4), &None));
        }
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let problem = problem_with("colour = 1\n[shadow]\nmode = 'aks'", "").unwrap();
        let detail = problem.detail.unwrap();
        assert_eq!(detail.lines().count(), 2, "{detail}");
        assert!(
            detail.contains("cluster.toml:1: colour")
                && detail.contains("cluster.toml:3: shadow.mode")
        );
        assert!(problem_with("", "fine").is_none());
        assert!(problem_with("", "two\nlines").is_some());
        assert_eq!(problem_with("", &"x".repeat(CONFIG_NOTE + 1)).unwrap().status, 413);
        assert_eq!(problem_with(&"#".repeat(CONFIG_TEXT + 1), "").unwrap().status, 413);
    }
}
