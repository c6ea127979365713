//! What was found, and how it is told.

use std::error::Error;
use std::fmt::Write;

use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Fine,
    /// It works; somebody should look at it.
    Warning,
    /// It does not work.
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub grade: Grade,
    /// A file, a unit, an address.
    pub place: String,
    /// How it is.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn fine(place: impl ToString, what: impl Into<String>) -> Self {
        Self { grade: Grade::Fine, place: place.to_string(), what: what.into(), mend: None }
    }

    /// It works; somebody should look at it.
    pub fn warning(place: impl ToString, what: impl Into<String>, mend: impl Into<String>) -> Self {
        let mend = Some(mend.into());
        Self { grade: Grade::Warning, place: place.to_string(), what: what.into(), mend }
    }

    /// It does not work.
    pub fn wrong(place: impl ToString, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { grade: Grade::Wrong, ..Self::warning(place, what, mend) }
    }
}

/// All findings of one look.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In the order of looking.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Adds one. What broker and agent both need is told once.
    pub fn add(&mut self, finding: Finding) {
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Whether anything does not work.
    pub fn is_wrong(&self) -> bool {
        self.findings.iter().any(|it| it.grade == Grade::Wrong)
    }

    /// For people: what matters most comes last, next to the prompt.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut sorted: Vec<&Finding> = self.findings.iter().collect();
        sorted.sort_by_key(|it| it.grade);
        for Finding { grade, place, what, mend } in sorted {
            let grade = match grade {
                Grade::Fine => "fine    ",
                Grade::Warning => "warning ",
                Grade::Wrong => "WRONG   ",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{grade} {place}: {what}");
            if let Some(mend) = mend {
                let _ = writeln!(text, "          {}", mend.replace('\n', "\n          "));
            }
        }
        text
    }

    /// For scripts.
    ///
    /// # Errors
    /// None that is known: all of it is text.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

/// An error with its causes, in one line.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        // Libraries repeat their causes in their own text.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_comes_last_and_says_how_to_mend_it() {
        let mut report = Report::default();
        report.add(Finding::wrong("/etc/x", "it is missing", "make it:\ntouch /etc/x"));
        assert!(report.is_wrong());
        for _ in 0..2 {
            report.add(Finding::fine("/etc/y", "it is there"));
        }
        let text = "fine     /etc/y: it is there\n\
                    WRONG    /etc/x: it is missing\n          make it:\n          touch /etc/x\n";
        assert_eq!(report.text(), text);
    }

    #[test]
    fn warnings_alone_are_not_wrong() {
        let mut report = Report::default();
        report.add(Finding::warning("x", "it is old", "get a new one"));
        assert!(!report.is_wrong());
        let json = report.json().unwrap();
        assert!(json.contains("\"grade\": \"warning\""), "{json}");
    }
}
